package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

func createOrganizationCommand(s *session) *cobra.Command {
	var metadata object
	cmd := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Create an organization",
		Long: `Create an organization, and become its owner. It takes an instance admin, or a key of theirs that has MANAGE.

--external-id is what another system calls the organization, such as the number of a customer. It is unique: creating
a second one with it fails, so that a script that is run again does no harm.`,
		Example: `  apikeyd orgs create --name "Acme"
  apikeyd orgs create --name "Acme" --external-id customer-9 --metadata '{"plan": "gold"}'

  # an account for a customer, and a key in it
  ORG=$(apikeyd orgs create --name "Acme" --external-id customer-9 -o json | jq .organization_id)
  apikeyd keys create --organization $ORG --name "Acme" --scope READ`,
		Args: cobra.NoArgs,
	}
	name := addText(cmd, "name", "NAME", "", "what to call it: 1 to 100 printable characters")
	external := addText(cmd, "external-id", "TEXT", "", "what another system calls it: 1 to 255 printable characters, unique")
	cmd.Flags().Var(&metadata, "metadata", "anything you want to keep with it, as a JSON object of at most 4 KiB")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	required(cmd, "name")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		o := api.NewOrganization{OrganizationName: *name, Metadata: json.RawMessage(metadata)}
		if cmd.Flags().Changed("external-id") {
			o.ExternalID = external
		}
		created, err := c.CreateOrganization(cmd.Context(), o)
		if err != nil {
			return err
		}
		return s.printOrganization(output.value, created)
	}
	return cmd
}

func updateOrganizationCommand(s *session) *cobra.Command {
	var (
		noExternal bool
		metadata   object
	)
	cmd := &cobra.Command{
		Use:   "update ORG_ID",
		Short: "Change an organization's name, external id or metadata",
		Long: `Change an organization. What no flag names stays as it is. It takes an admin or owner of the organization, and for the
external id an instance admin.

--metadata is merged into what is there (RFC 7396): a member that is null is removed, the others are set, and what is
not mentioned stays.`,
		Example: `  apikeyd orgs update 432 --name "Acme Ltd"
  apikeyd orgs update 432 --external-id customer-10
  apikeyd orgs update 432 --no-external-id --metadata '{"plan": null}'`,
		Args:              arguments("ORG_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	name := addText(cmd, "name", "NAME", "", "what to call it: 1 to 100 printable characters")
	external := addText(cmd, "external-id", "TEXT", "", "what another system calls it: 1 to 255 printable characters, unique")
	cmd.Flags().BoolVar(&noExternal, "no-external-id", false, "let it have no external id")
	cmd.Flags().Var(&metadata, "metadata", "a JSON object to merge into its metadata")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	// patch returns the change that the flags want.
	patch := func(cmd *cobra.Command) (api.OrganizationPatch, error) {
		p := api.OrganizationPatch{OrganizationName: *name, Metadata: json.RawMessage(metadata)}
		if err := exclusive(cmd, "external-id", "no-external-id"); err != nil {
			return p, err
		}
		switch {
		case cmd.Flags().Changed("name") && *name == "":
			return p, usagef("--name: must not be empty")
		case cmd.Flags().Changed("external-id"):
			p.ExternalID = api.Value(*external)
		case noExternal:
			p.ExternalID = api.Null[string]()
		}
		if *name == "" && p.ExternalID.IsZero() && metadata == nil {
			return p, usagef("there is nothing to change; give at least one of --name, --external-id, --no-external-id and --metadata")
		}
		return p, nil
	}

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("ORG_ID", args)
		if err != nil {
			return err
		}
		p, err := patch(cmd)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		o, err := c.UpdateOrganization(cmd.Context(), ids[0], p)
		if err != nil {
			return about(organizationNoun, ids[0], err)
		}
		return s.printOrganization(output.value, o)
	}
	return cmd
}
