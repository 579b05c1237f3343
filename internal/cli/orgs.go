package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// NewOrgsCommand returns "orgs" with its subcommands. lookupEnv is os.LookupEnv, but for tests.
func NewOrgsCommand(streams Streams, lookupEnv func(string) (string, bool)) *cobra.Command {
	return newOrgsCommand(newSession(streams, lookupEnv))
}

func newOrgsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "orgs",
		Short: "List, create, change and delete organizations",
		Long: `List, create, change and delete organizations: the accounts that keys belong to, and whose members hold them.

The commands act as the user who has signed in with "apikeyd login", or as the API key they are given (APIKEYD_KEY or
--key-file), inside its own organization. A key needs MANAGE to change anything, and READ or MANAGE to look.

Instance admins, and their keys that have MANAGE, act on every organization, and they alone create them. That is how a
company's own backend opens an account for each of its customers: --external-id is what it calls the customer itself.

Exit codes: 0; 1 it failed; 2 wrong usage.`,
		Example: `  apikeyd orgs list
  apikeyd orgs create --name "Acme" --external-id customer-9
  apikeyd members add 432 --email ada@example.com --role owner`,
	}
	cmd.AddCommand(
		createOrganizationCommand(s), listOrganizationsCommand(s), getOrganizationCommand(s), updateOrganizationCommand(s),
		deleteOrganizationsCommand(s), organizationUsageCommand(s),
	)
	return s.finish(cmd)
}

func listOrganizationsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List organizations, newest first",
		Long: `List organizations, newest first: those that you are a member of, for an API key its own, and for an instance admin
every one. Filters add up.

The role is yours there; "-" means that you are no member. -o json prints the array that the API gives.`,
		Example: `  apikeyd orgs list

  # the organization of one of the company's own customers
  apikeyd orgs list --external-id customer-9 -o json | jq '.[0].organization_id'`,
		Args: cobra.NoArgs,
	}
	query := addText(cmd, "query", "TEXT", "", "organizations whose name holds this")
	external := addText(cmd, "external-id", "TEXT", "", "the organization with this external id")
	portion := addPortion(cmd, organizationNoun)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := portion.check(cmd); err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		options := client.OrganizationOptions{Query: *query, ExternalID: *external, Limit: portion.pageSize()}
		return printList(s, portion, output.value, organizationColumns, c.AllOrganizations(cmd.Context(), options))
	}
	return cmd
}

var organizationColumns = []column[api.Organization]{
	{name: "ID", cell: func(o api.Organization) string { return fmt.Sprint(o.OrganizationID) }},
	{name: "NAME", cell: func(o api.Organization) string { return o.OrganizationName }, cut: true},
	{name: "EXTERNAL ID", cell: func(o api.Organization) string { return orDash(o.ExternalID) }, cut: true},
	{name: "ROLE", cell: func(o api.Organization) string { return dashIfEmpty(string(o.Role)) }},
	{name: "CREATED", cell: func(o api.Organization) string { return day(o.CreatedAt) }},
}

func (s *session) printOrganization(format string, o api.Organization) error {
	if format == formatJSON {
		return printJSON(s.Out, o)
	}
	var f fields
	f.add("ID", fmt.Sprint(o.OrganizationID))
	f.add("Name", o.OrganizationName)
	f.add("External ID", orDash(o.ExternalID))
	f.add("Your role", dashIfEmpty(string(o.Role)))
	f.add("Created", timeOrNever(&o.CreatedAt))
	f.add("Updated", timeOrNever(&o.UpdatedAt))
	f.add("Metadata", string(o.Metadata))
	return f.print(s.Out)
}

func getOrganizationCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get ORG_ID",
		Short: "Show what is known about an organization",
		Long: `Show what is known about an organization, and what your role in it is.

An organization that you may not see does not exist, as far as you can tell.`,
		Example: `  apikeyd orgs get 432
  apikeyd orgs get 432 -o json | jq .metadata`,
		Args:              arguments("ORG_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("ORG_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		o, err := c.GetOrganization(cmd.Context(), ids[0])
		if err != nil {
			return about(organizationNoun, ids[0], err)
		}
		return s.printOrganization(output.value, o)
	}
	return cmd
}

func deleteOrganizationsCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ORG_ID...",
		Short: "Delete organizations for good, with their keys",
		Long: `Delete organizations for good, with their memberships and all their keys. Nothing is asked back, and nothing brings
them back. Once the command has printed that an organization is deleted, no check takes one of its keys for valid.

It takes an owner of the organization, or an instance admin. Of several organizations, each is deleted that can be; for
the others it says why not, and exits with 1.`,
		Example:           `  apikeyd orgs delete 432`,
		Args:              arguments("ORG_ID", 1, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addServerFlags(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("ORG_ID", args)
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		return s.each(organizationNoun, "deleted", ids, func(id int64) error { return c.DeleteOrganization(cmd.Context(), id) })
	}
	return cmd
}
