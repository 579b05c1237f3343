package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// aboutUsage is what both commands say about what they print.
const aboutUsage = `Hours and days are those of UTC, and whole. Hours are kept for 31 days, and days for 400. Without --from and --since
it is the last 24 hours, or with --by day the last 30 days; the last one may not be over yet. Checks are counted within
some 10 seconds.`

func keyUsageCommand(s *session) *cobra.Command {
	return usageCommand(s, "KEY_ID", keyNoun, (*client.Client).KeyUsage, &cobra.Command{
		Use:   "usage KEY_ID",
		Short: "Show how a key is used",
		Long: `Show how many checks of a key there were, by hour or by day: how many were allowed, and how many were refused and
why.

` + aboutUsage,
		Example: `  apikeyd keys usage 17
  apikeyd keys usage 17 --by day --since 90d

  # what was refused since Monday, a line for each hour
  apikeyd keys usage 17 --from 2026-11-23T00:00:00Z -o json | jq -c '.buckets[] | [.start, .refused]'`,
	})
}

func organizationUsageCommand(s *session) *cobra.Command {
	return usageCommand(s, "ORG_ID", organizationNoun, (*client.Client).OrganizationUsage, &cobra.Command{
		Use:   "usage ORG_ID",
		Short: "Show how the keys of an organization are used",
		Long: `Show how many checks of an organization's keys there were, by hour or by day: how many were allowed, and how many
were refused and why. Admins and owners see the sum of all keys, those that were deleted as well, and other members that
of the keys that are theirs.

` + aboutUsage,
		Example: `  apikeyd orgs usage 432
  apikeyd orgs usage 432 --by day --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z`,
	})
}

// usageCommand completes a command that shows the usage of a thing.
func usageCommand(s *session, argument string, what noun,
	ask func(*client.Client, context.Context, int64, client.UsageOptions) (api.Usage, error), cmd *cobra.Command) *cobra.Command {
	var from, to moment
	var since span
	cmd.Args, cmd.ValidArgsFunction = arguments(argument, 1, 1), cobra.NoFileCompletions
	by := addChoice(cmd, "by", "LENGTH", "what to count by: hour or day (default hour)", api.UsageByHour, api.UsageByDay)
	cmd.Flags().Var(&from, "from", "begin with the hour or day that this time is in, such as 2027-01-31T18:00:00Z")
	cmd.Flags().Var(&since, "since", "begin this long ago, such as 7d or 12h")
	cmd.Flags().Var(&to, "to", "end before this time")
	addServerFlags(cmd)
	output := addOutput(cmd, formatTable, formatJSON)

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := parseIDs(argument, args)
		if err != nil {
			return err
		}
		if err := exclusive(cmd, "from", "since"); err != nil {
			return err
		}
		options := client.UsageOptions{From: from.Time, To: to.Time, By: api.UsageBy(by.value)}
		if cmd.Flags().Changed("since") {
			options.From = s.now().Add(-time.Duration(since))
		}
		c, err := s.connect(cmd)
		if err != nil {
			return err
		}
		u, err := ask(c, cmd.Context(), ids[0], options)
		if err != nil {
			return about(what, ids[0], err)
		}
		return s.printUsage(output.value, u)
	}
	return cmd
}

// usageRow is a line of a table: an hour or a day, or the total.
type usageRow struct {
	name string
	api.UsageCounts
}

var usageColumns = []column[usageRow]{
	{name: "BEGIN", cell: func(r usageRow) string { return r.name }},
	{name: "ALLOWED", cell: func(r usageRow) string { return fmt.Sprint(r.Allowed) }},
	{name: "REFUSED", cell: refusedChecks},
	{name: "WHY", cell: whyRefused, cut: true},
}

func refusedChecks(r usageRow) string {
	sum := int64(0)
	for _, n := range r.Refused {
		sum += n
	}
	return fmt.Sprint(sum)
}

// whyRefused lists the reasons, those of most checks first.
func whyRefused(r usageRow) string {
	reasons := slices.SortedFunc(maps.Keys(r.Refused), func(a, b api.VerifyCode) int {
		return cmp.Or(cmp.Compare(r.Refused[b], r.Refused[a]), cmp.Compare(a, b))
	})
	texts := make([]string, len(reasons))
	for i, reason := range reasons {
		texts[i] = fmt.Sprintf("%s %d", reason, r.Refused[reason])
	}
	return dashIfEmpty(strings.Join(texts, ", "))
}

func (s *session) printUsage(format string, u api.Usage) error {
	if format == formatJSON {
		return printJSON(s.Out, u)
	}
	layout := "2006-01-02T15:04Z"
	if u.By == api.UsageByDay {
		layout = time.DateOnly
	}
	t := &table[usageRow]{out: s.Out, width: s.width, columns: usageColumns}
	for _, b := range u.Buckets {
		if err := t.add(usageRow{b.Start.UTC().Format(layout), b.UsageCounts}); err != nil {
			return err
		}
	}
	if err := t.add(usageRow{"total", u.Total}); err != nil {
		return err
	}
	return t.flush()
}
