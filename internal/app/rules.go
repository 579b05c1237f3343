package app

import (
	"sync"
	"sync/atomic"

	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// ruleReloads counts how often the rules were read again.
type ruleReloads struct {
	mu         sync.Mutex // one at a time, so that what was read last is what holds
	done, kept atomic.Int64
}

// ReloadRules reads the rules again from the configuration file. Requests go on meanwhile, each by the rules that it began with. Where
// something is wrong with the file, the old rules stay, and the log says what it is. Nothing else is read again.
func (a *App) ReloadRules() {
	a.reloads.mu.Lock()
	defer a.reloads.mu.Unlock()
	set, err := config.LoadRules(a.config.File)
	if err != nil {
		a.reloads.kept.Add(1)
		a.log.Error("rules are not read again, the old ones stay", "file", a.config.File, "rules", a.gateway.Rules().Len(), "error", err)
		return
	}
	a.gateway.SetRules(set)
	a.reloads.done.Add(1)
	a.log.Info("rules are read again", "file", a.config.File, "rules", set.Len())
}

func (r *ruleReloads) register(m *telemetry.Metrics, g *gateway.Gateway) {
	m.GaugeFunc("apikeyd_rules", "Rules that requests to the API behind this server are judged by.", nil,
		func() float64 { return float64(g.Rules().Len()) })
	const name, help = "apikeyd_rules_reloads_total", "Times that the rules were to be read again, by outcome: where that is failure, the old ones " +
		"have stayed, and the log says why."
	m.CounterFunc(name, help, telemetry.Labels{"outcome": "success"}, func() float64 { return float64(r.done.Load()) })
	m.CounterFunc(name, help, telemetry.Labels{"outcome": "failure"}, func() float64 { return float64(r.kept.Load()) })
}
