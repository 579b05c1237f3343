package cli

import (
	"encoding/json"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

func updateKeyCommand(s *session) *cobra.Command {
	var (
		scope    scopes
		enabled  switches
		expiry   expiry
		noExpiry bool
		metadata object
		held     restrictions
	)
	cmd := &cobra.Command{
		Use:   "update KEY_ID",
		Short: "Change a key's name, scopes, state, expiry, metadata or restrictions",
		Long: `Change a key. What no flag names stays as it is. Once the command has returned, no check goes by what was before:
a key that was disabled, or has lost a scope, is refused from then on.

--scope replaces all scopes of the key, --limit all limits, --allow all addresses. --metadata is merged into what is
there (RFC 7396): a member that is null is removed, the others are set, and what is not mentioned stays. With another
--quota, what is used of the present period stays used.`,
		Example: `  apikeyd keys update 17 --name "Old backend" --scope READ
  apikeyd keys update 17 --disabled
  apikeyd keys update 17 --enabled --expires-in 30d
  apikeyd keys update 17 --no-expiry --metadata '{"team": null, "ticket": 4711}'
  apikeyd keys update 17 --limit second=10/1 --limit hour=1000/3600 --quota 1000000/month
  apikeyd keys update 17 --no-limits --no-quota --allow-any`,
		Args:              arguments("KEY_ID", 1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	name := addText(cmd, "name", "NAME", "", "what to call it: 1 to 100 printable characters")
	f.Var(&scope, "scope", "what it may do from now on: "+joinScopes(allScopes, ", "))
	enabled.addFlags(cmd, "let it be used", "refuse it until it is enabled again")
	expiry.addFlags(cmd)
	f.BoolVar(&noExpiry, "no-expiry", false, "let it never expire")
	f.Var(&metadata, "metadata", "a JSON object to merge into its metadata")
	held.addFlags(cmd)
	held.addClearing(cmd)
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)
	completeScopes(cmd)

	// patch returns the change that the flags want.
	patch := func(cmd *cobra.Command) (api.KeyPatch, error) {
		p := api.KeyPatch{KeyName: *name, KeyScope: scope, Metadata: json.RawMessage(metadata)}
		if err := exclusive(cmd, "expires-at", "expires-in", "no-expiry"); err != nil {
			return p, err
		}
		if cmd.Flags().Changed("name") && *name == "" {
			return p, usagef("--name: must not be empty")
		}
		expiresAt, err := expiry.at(cmd, s.now())
		if err != nil {
			return p, err
		}
		switch {
		case expiresAt != nil:
			p.ExpiresAt = api.Value(*expiresAt)
		case noExpiry:
			p.ExpiresAt = api.Null[api.Time]()
		}
		if p.Enabled, err = enabled.value(cmd); err != nil {
			return p, err
		}
		if err := held.patch(cmd, &p); err != nil {
			return p, err
		}
		if reflect.ValueOf(p).IsZero() {
			return p, usagef("there is nothing to change; give at least one of --name, --scope, --enabled, --disabled, " +
				"--expires-at, --expires-in, --no-expiry, --metadata, --limit, --no-limits, --quota, --no-quota, --allow and --allow-any")
		}
		return p, nil
	}

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs("KEY_ID", args)
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
		k, err := c.UpdateKey(cmd.Context(), ids[0], p)
		if err != nil {
			return about(keyNoun, ids[0], err)
		}
		return s.printKey(output.value, k, "")
	}
	return cmd
}
