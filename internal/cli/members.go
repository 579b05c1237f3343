package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// NewMembersCommand returns "members" with its subcommands. lookupEnv is os.LookupEnv, but for tests.
func NewMembersCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newMembersCommand(newSession(streams, lookupEnv))
}

func newMembersCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List, invite, change and remove the members of an organization",
		Long: `List, invite, change and remove the members of an organization. ORG_ID is the organization's id, USER_ID that of the
member's user.

  viewer  may hold READ keys
  member  may hold keys with any scope but MANAGE
  admin   may hold any key, and sees and manages every key and member of the organization
  owner   as admin, and may delete the organization; there is always at least one

Nobody gives a role above their own, or changes somebody whose role is above it; instance admins may do both. An API key
needs MANAGE to change anything, and READ or MANAGE to look.

Exit codes: 0; 1 it failed; 2 wrong usage.`,
		Example: `  apikeyd members list 432
  apikeyd members add 432 --email ada@example.com --role member
  apikeyd members update 432 3 --role viewer --keys delete
  apikeyd members remove 432 3`,
	}
	cmd.AddCommand(
		addMemberCommand(s), listMembersCommand(s), getMemberCommand(s), updateMemberCommand(s), removeMemberCommand(s),
	)
	return s.finish(cmd)
}

// memberIDs reads the arguments ORG_ID and USER_ID.
func memberIDs(args []string) (organizationID, userID int64, err error) {
	organization, err := parseIDs("ORG_ID", args[:1])
	if err != nil {
		return 0, 0, err
	}
	user, err := parseIDs("USER_ID", args[1:])
	if err != nil {
		return 0, 0, err
	}
	return organization[0], user[0], nil
}

func listMembersCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list ORG_ID",
		Short: "List the members of an organization, newest user first",
		Long: `List the members of an organization, newest user first. Every member may see the others.

-o json prints the array of members that the API gives.`,
		Example: `  apikeyd members list 432
  apikeyd members list 432 --all -o json | jq -r '.[] | select(.role == "owner") | .email'`,
		Args:              arguments("ORG_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	portion := addPortion(cmd, memberNoun)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("ORG_ID", args)
		if err != nil {
			return err
		}
		if err := portion.check(cmd); err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		all := c.AllMembers(cmd.Context(), ids[0], client.PageOptions{Limit: portion.pageSize()})
		return printList(s, portion, output.value, memberColumns, all)
	}
	return cmd
}

var memberColumns = []column[api.Member]{
	{name: "USER", cell: func(m api.Member) string { return fmt.Sprint(m.UserID) }},
	{name: "EMAIL", cell: func(m api.Member) string { return m.Email }, cut: true},
	{name: "ROLE", cell: func(m api.Member) string { return string(m.Role) }},
	{name: "SINCE", cell: func(m api.Member) string { return day(m.CreatedAt) }},
}

func memberFields(m api.Member) fields {
	var f fields
	f.add("User", fmt.Sprint(m.UserID))
	f.add("Email", m.Email)
	f.add("Role", string(m.Role))
	f.add("Since", timeOrNever(&m.CreatedAt))
	return f
}

func (s *session) printMember(format string, m api.Member) error {
	if format == formatJSON {
		return printJSON(s.Out, m)
	}
	return memberFields(m).print(s.Out)
}

func getMemberCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get ORG_ID USER_ID",
		Short: "Show a member of an organization",
		Long: `Show a member of an organization: the address, the role, and since when. Every member may see the others.

Somebody who is no member, or of an organization that you may not see, does not exist, as far as you can tell.`,
		Example: `  apikeyd members get 432 3
  apikeyd members get 432 3 -o json | jq -r .role`,
		Args:              exactly("ORG_ID", "USER_ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
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
		m, err := c.GetMember(cmd.Context(), organization, user)
		if err != nil {
			return about(memberNoun, user, err)
		}
		return s.printMember(output.value, m)
	}
	return cmd
}
