package console

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/apikeyd/apikeyd/internal/audit"
)

// changedFields returns the names of what an entry of the audit log says is different since, in order.
func changedFields(e audit.Entry) []string {
	if e.Before == nil || e.After == nil { // it came, or went
		return nil
	}
	names := map[string]bool{}
	for _, object := range [][]byte{e.Before, e.After} {
		var fields map[string]json.RawMessage
		if json.Unmarshal(object, &fields) != nil {
			continue
		}
		for name := range fields {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
