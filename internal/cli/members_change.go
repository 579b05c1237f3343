package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

var allRoles = []api.Role{api.RoleViewer, api.RoleMember, api.RoleAdmin, api.RoleOwner}

func addRole(cmd *cobra.Command, usage string) *choice {
	role := addChoice(cmd, "role", "ROLE", usage+": "+sentence(choiceWords(allRoles), "or"), allRoles...)
	required(cmd, "role")
	return role
}

func addRemainingKeys(cmd *cobra.Command) *choice {
	return addChoice(cmd, "keys", "WHAT", "what becomes of the keys that they could then no longer create:\n"+
		"delete them, or transfer them to you", api.DeleteKeys, api.TransferKeys)
}

func addMemberCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add ORG_ID --email EMAIL --role ROLE",
		Short: "Make somebody a member, and invite them if they are new",
		Long: `Make the person with an e-mail address a member. It takes an admin or owner of the organization.

Where nobody has that address yet, the person is invited: by mail, if the server sends any, else by the one-time link
that the command prints. Hand it to them, and to nobody else: whoever has it can sign in as that person. It works once,
within 15 minutes; "apikeyd users sign-in-link" makes another one on the server.`,
		Example: `  apikeyd members add 432 --email ada@example.com --role member

  # the link alone, for a script that hands it on
  apikeyd members add 432 --email ada@example.com --role viewer -o json | jq -r .sign_in_url`,
		Args:              arguments("ORG_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	email := addText(cmd, "email", "EMAIL", "", "e-mail address of the person")
	role := addRole(cmd, "what they may do")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	required(cmd, "email")

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("ORG_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		m, err := c.InviteMember(cmd.Context(), ids[0], api.NewMember{Email: *email, Role: api.Role(role.value)})
		if err != nil {
			return about(organizationNoun, ids[0], err)
		}
		return s.printInvited(output.value, m)
	}
	return cmd
}

func (s *session) printInvited(format string, m api.InvitedMember) (err error) {
	if format == formatJSON {
		err = printJSON(s.Out, m)
	} else {
		f := memberFields(m.Member)
		if m.SignInURL != "" {
			f.add("Sign-in link", m.SignInURL)
		}
		err = f.print(s.Out)
	}
	if err == nil && m.SignInURL != "" {
		fmt.Fprintln(s.Err, "The link works once, within 15 minutes. Whoever has it can sign in as that person.")
	}
	return err
}

func updateMemberCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update ORG_ID USER_ID --role ROLE",
		Short: "Change a member's role",
		Long: `Change a member's role. It takes an admin or owner of the organization; nobody gives a role above their own. An
organization keeps at least one owner.

A weaker role may hold fewer keys. Where the member holds keys that they could then no longer create, --keys says what
becomes of them; without it nothing is done, and the error names them. Once the command has returned, no check takes a
key that was deleted for valid.`,
		Example: `  apikeyd members update 432 3 --role admin
  apikeyd members update 432 3 --role viewer --keys transfer`,
		Args:              exactly("ORG_ID", "USER_ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	role := addRole(cmd, "what they may do from now on")
	keys := addRemainingKeys(cmd)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		organization, user, err := memberIDs(args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		p := api.MemberPatch{Role: api.Role(role.value)}
		m, err := c.UpdateMember(cmd.Context(), organization, user, p, api.RemainingKeys(keys.value))
		if err != nil {
			return about(memberNoun, user, err)
		}
		return s.printMember(output.value, m)
	}
	return cmd
}

func removeMemberCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove ORG_ID USER_ID",
		Short: "Remove a member, or leave",
		Long: `Remove a member from an organization. It takes an admin or owner; whoever removes themselves, leaves, and may always do
that. An organization keeps at least one owner.

Where the member holds keys in the organization, --keys says what becomes of them; without it nothing is done, and the
error names them. Who leaves cannot transfer keys. Once the command has returned, no check takes a key that was deleted
for valid.`,
		Example: `  apikeyd members remove 432 3
  apikeyd members remove 432 3 --keys delete`,
		Args:              exactly("ORG_ID", "USER_ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	keys := addRemainingKeys(cmd)
	addServerFlags(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		organization, user, err := memberIDs(args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		return s.each(memberNoun, "removed", []int64{user}, func(user int64) error {
			return c.RemoveMember(cmd.Context(), organization, user, api.RemainingKeys(keys.value))
		})
	}
	return cmd
}
