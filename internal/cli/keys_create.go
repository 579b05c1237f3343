package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func createKeyCommand(s *session) *cobra.Command {
	var (
		scope        scopes
		organization id
		expiry       expiry
		metadata     object
		disabled     bool
		held         restrictions
	)
	cmd := &cobra.Command{
		Use:   "create --name NAME --scope SCOPES",
		Short: "Create a key and print its token, once",
		Long: `Create a key and print its token. The token is in this answer and nowhere else: the server keeps a digest of it,
from which it cannot be had again. Whoever loses it rotates the key.

The new key can do no more than the key that creates it. Without --organization it belongs to the organization of the
calling key, or to the only one of whoever has signed in. Without --expires-at or --expires-in it does not expire.

--limit, --quota and --allow say how often it may be used, and from where. All of them hold. Periods are those of UTC.

With -o token standard output is the token and nothing else, for a variable or a file.`,
		Example: `  apikeyd keys create --name "Backend API Key" --scope READ,CREATE

  # for ninety days, with something to find it by
  apikeyd keys create --name "Importer" --scope CREATE --expires-in 90d --metadata '{"team": "billing"}'

  # 100 requests a minute, a million a month, from two networks
  apikeyd keys create --name "Partner" --scope READ --limit minute=100/60 --quota 1000000/month \
    --allow 203.0.113.0/24 --allow 2001:db8::/32

  # straight into a variable
  KEY=$(apikeyd keys create --name "CI" --scope READ -o token)`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	name := addText(cmd, "name", "NAME", "", "what to call it: 1 to 100 printable characters")
	f.Var(&scope, "scope", "what it may do: "+joinScopes(allScopes, ", ")+"; repeat it or use commas")
	f.Var(&organization, "organization", "organization it belongs to (default: the caller's, if there is one only)")
	expiry.addFlags(cmd)
	f.Var(&metadata, "metadata", "anything you want to keep with it, as a JSON object of at most 4 KiB")
	held.addFlags(cmd)
	f.BoolVar(&disabled, "disabled", false, "create it disabled: it is refused until \"keys update --enabled\"")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON, formatToken)
	required(cmd, "name", "scope")
	completeScopes(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		expiresAt, err := expiry.at(cmd, s.now())
		if err != nil {
			return err
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		k := api.NewKey{
			KeyName: *name, KeyScope: scope, OrganizationID: int64(organization), ExpiresAt: expiresAt, Metadata: []byte(metadata),
			Limits: held.limits, Quota: held.quota.NewQuota, AllowedCIDRs: held.allow,
		}
		if disabled {
			k.Enabled = new(false)
		}
		if k.OrganizationID == 0 {
			if k.OrganizationID, err = onlyOrganization(cmd.Context(), c); err != nil {
				return err
			}
		}
		created, err := c.CreateKey(cmd.Context(), k)
		if err != nil {
			return err
		}
		return s.printToken(output.value, created)
	}
	return cmd
}

// printToken prints a key that was just given a token. It is the last chance to.
func (s *session) printToken(format string, k api.CreatedKey) error {
	if err := s.printKey(format, k.Key, k.Token); err != nil {
		return fmt.Errorf("key %d has a new token that could not be printed; rotate it to have another: %w", k.KeyID, err)
	}
	s.noteShownOnce()
	return nil
}

// onlyOrganization returns the caller's organization where there is no choice.
func onlyOrganization(ctx context.Context, c *client.Client) (int64, error) {
	me, err := c.Me(ctx)
	if err != nil {
		return 0, err
	}
	switch len(me.Organizations) {
	case 0:
		return 0, errors.New("the caller is a member of no organization; give one with --organization")
	case 1:
		return me.Organizations[0].OrganizationID, nil
	}
	text := "which organization? Give --organization with one of these:"
	for _, o := range me.Organizations {
		text += fmt.Sprintf("\n%d  %s", o.OrganizationID, visible(o.OrganizationName))
	}
	return 0, UsageError(errors.New(text))
}

// expiry is the flags that say when a key expires.
type expiry struct {
	moment moment
	in     span
}

func (e *expiry) addFlags(cmd *cobra.Command) {
	cmd.Flags().Var(&e.moment, "expires-at", "when it expires, such as 2027-01-31T18:00:00Z")
	cmd.Flags().Var(&e.in, "expires-in", "after how long it expires, such as 90d, 12h or 1d12h")
}

// at returns when the key is to expire, and nil where the flags do not say.
func (e *expiry) at(cmd *cobra.Command, now time.Time) (*api.Time, error) {
	if err := exclusive(cmd, "expires-at", "expires-in"); err != nil {
		return nil, err
	}
	switch f := cmd.Flags(); {
	case f.Changed("expires-at"):
		return &api.Time{Time: e.moment.Time}, nil
	case f.Changed("expires-in") && e.in == 0:
		return nil, usagef("--expires-in: must be longer than 0")
	case f.Changed("expires-in"):
		return &api.Time{Time: now.Add(time.Duration(e.in))}, nil
	default:
		return nil, nil
	}
}
