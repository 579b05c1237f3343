package limit

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// valkeyTimeout bounds how long a check waits for the store of limits.
	valkeyTimeout = 100 * time.Millisecond
	// valkeyFailures is how many times one after the other it does not answer until it is not asked any more. Checks that wait for it
	// together are one time: a server that stands still for a moment, as to write a snapshot, is not away.
	valkeyFailures = 3
	// probeInterval is how often it is looked whether it answers, and probeTimeout how long that may take: to connect as well.
	probeInterval = 500 * time.Millisecond
	probeTimeout  = time.Second

	// valkeyConnections is how many connections there are to it.
	valkeyConnections     = 1 << valkeyConnectionsLog2
	valkeyConnectionsLog2 = 1

	valkeyPort = "6379"
)

// Valkey counts the requests of keys against their limits in a Valkey or Redis that several processes share, by that server's
// clock. One check is one round trip. While the server is away, checks do not wait for it. Its methods are safe for concurrent
// use.
type Valkey struct {
	client valkey.Client
	script *valkey.Lua
	log    *slog.Logger
	// password is that of the server, which may repeat it in an error.
	password string
	// timeout bounds how long a check waits.
	timeout time.Duration

	failures atomic.Int32 // since it answered last
	away     atomic.Bool
}

//go:embed take.lua
var takeScript string

var errValkeyAway = fmt.Errorf("%w: the store of limits is away", store.ErrUnavailable)

// NewValkey returns a Valkey at a URL, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// with TLS. password, if there is one,
// goes before that of the URL. Whether the server is there shows later: it is no error if it is not. No error repeats the URL.
func NewValkey(address, password string, log *slog.Logger) (*Valkey, error) {
	o, err := valkeyOptions(address)
	if err != nil {
		return nil, err
	}
	if password != "" {
		o.Password = password
	}
	v := &Valkey{script: valkey.NewLuaScript(takeScript), log: log, password: o.Password, timeout: valkeyTimeout}
	v.client, err = valkey.NewClient(o)
	err = v.discreet(err)
	if v.client == nil {
		return nil, fmt.Errorf("store of limits: %w", err)
	}
	if err != nil {
		v.gone(err)
	}
	return v, nil
}

var errValkeyIndiscreet = errors.New("the server answers with an error that repeats its password")

// discreet returns err, which may be nil, or another error where the password is in its text: there are servers that repeat what
// they do not understand.
func (v *Valkey) discreet(err error) error {
	if err != nil && v.password != "" && strings.Contains(err.Error(), v.password) {
		return errValkeyIndiscreet
	}
	return err
}

var errValkeyURL = errors.New("store of limits: the URL is none of the form redis://HOST:PORT/DATABASE")

func valkeyOptions(address string) (o valkey.ClientOption, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return o, errValkeyURL
	}
	port := u.Port()
	if port == "" {
		port = valkeyPort
	}
	if len(u.Path) > 1 {
		if o.SelectDB, err = strconv.Atoi(u.Path[1:]); err != nil || o.SelectDB < 0 {
			return o, errValkeyURL
		}
	}
	o.InitAddress = []string{net.JoinHostPort(u.Hostname(), port)}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if u.Scheme == "rediss" {
		o.TLSConfig = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	o.ForceSingleClient, o.DisableCache, o.DisableRetry = true, true, true
	o.ClientName, o.ClientSetInfo = "apikeyd", valkey.DisableClientSetInfo
	// Commands that arrive together are sent together. Commands and answers are some hundred bytes.
	const buffer = 32 << 10
	o.PipelineMultiplex, o.RingScaleEachConn = valkeyConnectionsLog2, 9
	o.ReadBufferEachConn, o.WriteBufferEachConn = buffer, buffer
	o.Dialer = net.Dialer{Timeout: probeTimeout, KeepAlive: 5 * time.Second}
	o.ConnWriteTimeout = probeTimeout
	return o, nil
}

// Up reports whether the server answers.
func (v *Valkey) Up() bool { return !v.away.Load() }

// take is Memory.take. The error matches store.ErrUnavailable, or is ctx's.
func (v *Valkey) take(ctx context.Context, keyID int64, limits []key.Limit) (a key.Allowance, ok bool, err error) {
	if v.away.Load() {
		return a, false, errValkeyAway
	}
	before := v.failures.Load()
	names, arguments := question(keyID, limits)
	answer, err := v.ask(ctx, v.timeout, names, arguments)
	// A connection from before the server was started anew fails when it is used next, and is replaced then. What was under way on it
	// may have been counted: asking again counts a request too many at most, which never lets one pass too many.
	for tries := 0; tries < valkeyConnections && broken(err); tries++ {
		answer, err = v.ask(ctx, v.timeout, names, arguments)
	}
	if err == nil {
		a, ok, err = read(answer, limits)
	}
	switch {
	case err == nil:
		if v.failures.Load() != 0 {
			v.failures.Store(0)
		}
		return a, ok, nil
	case ctx.Err() != nil:
		return a, false, fmt.Errorf("wait for the store of limits: %w", ctx.Err())
	}
	v.failed(before, err)
	return a, false, fmt.Errorf("%w: store of limits: %w", store.ErrUnavailable, err)
}

// broken reports whether an error says that a connection has ended, rather than that no answer came in time or another than wanted.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// ask runs the script.
func (v *Valkey) ask(ctx context.Context, timeout time.Duration, names, arguments []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := v.script.Exec(ctx, v.client, names, arguments).ToString()
	return answer, v.discreet(err)
}

func micros(l *key.Limit) rate { return rate{requests: l.Requests, window: l.Window.Microseconds()} }

// Sizes of what the script takes and returns: doubles, which hold all of these numbers exactly.
const (
	double = 8
	four   = 4 * double
)

func appendDouble(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(float64(n)))
}

// question returns what the script is asked: under which names the limits are kept, and what they are. In a cluster, all of a key
// are in one slot: what is in braces decides.
func question(keyID int64, limits []key.Limit) (names, arguments []string) {
	var room [1 << 10]byte
	text, ends := room[:0], make([]int, 0, 2*len(limits)) // all in one string, cut where each ends
	for i := range limits {
		text = strconv.AppendInt(append(text, "apikeyd:{"...), keyID, 10)
		text = append(append(text, "}:"...), limits[i].Name...)
		ends = append(ends, len(text))
		r := micros(&limits[i])
		for _, n := range [...]int64{r.requests, r.window, r.window / r.requests, r.window % r.requests} {
			text = appendDouble(text, n)
		}
		ends = append(ends, len(text))
	}
	whole, parts, begin := string(text), make([]string, len(ends)), 0
	names, arguments = parts[:0:len(limits)], parts[len(limits):len(limits)]
	for i, end := range ends {
		if part := whole[begin:end]; i%2 == 0 {
			names = append(names, part)
		} else {
			arguments = append(arguments, part)
		}
		begin = end
	}
	return names, arguments
}

var errValkeyAnswer = errors.New("the answer is none of the script's")

// read returns what the answer of the script says. What cannot be is an error: the server may be anything.
func read(answer string, limits []key.Limit) (a key.Allowance, ok bool, err error) {
	if len(answer) != 2*double+len(limits)*four {
		return a, false, errValkeyAnswer
	}
	counted, now := doubleAt(answer, 0), doubleAt(answer, double)
	if counted != 0 && counted != 1 || now < 0 {
		return a, false, errValkeyAnswer
	}
	for i := range limits {
		r, l := micros(&limits[i]), level{at: doubleAt(answer, 2*double+i*four), part: doubleAt(answer, 3*double+i*four)}
		before := r.unspend(l)
		wait := r.over(l, now)
		switch {
		case l.part < 0 || l.part >= r.requests || before.at < now || r.over(before, now) > 0 || counted == 1 && wait > 0:
			return key.Allowance{}, false, errValkeyAnswer
		case counted == 1:
			if left := r.allowance(limits[i].Name, l, now, time.Microsecond); i == 0 || nearer(left, a) {
				a = left
			}
		case time.Duration(wait)*time.Microsecond > a.Retry:
			a = r.allowance(limits[i].Name, before, now, time.Microsecond)
			a.Retry = time.Duration(wait) * time.Microsecond
		}
	}
	if counted == 0 && a.Retry == 0 {
		return a, false, errValkeyAnswer
	}
	return a, counted == 1, nil
}

// doubleAt returns the whole number that is at a place of an answer; -1: there is none that could be a time or a number of requests.
func doubleAt(answer string, at int) int64 {
	var room [double]byte
	copy(room[:], answer[at:])
	n := math.Float64frombits(binary.BigEndian.Uint64(room[:]))
	if !(n >= 0 && n < 1<<53) || n != math.Trunc(n) {
		return -1
	}
	return int64(n)
}

// failed counts that the server has not answered somebody who has begun to ask after so many failures, unless another one has been
// counted since.
func (v *Valkey) failed(before int32, err error) {
	if v.failures.CompareAndSwap(before, before+1) && before+1 >= valkeyFailures {
		v.gone(err)
	}
}

// gone notes that the server does not answer.
func (v *Valkey) gone(err error) {
	if v.away.CompareAndSwap(false, true) {
		v.log.Warn("store of limits away", "error", err)
	}
}

// Run looks from time to time whether the server answers, until ctx is done.
func (v *Valkey) Run(ctx context.Context) {
	limits := []key.Limit{{Name: "probe", Requests: 1000, Window: time.Second}}
	names, arguments := question(0, limits) // there is no key 0
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		before := v.failures.Load()
		answer, err := v.ask(ctx, probeTimeout, names, arguments)
		if err == nil {
			_, _, err = read(answer, limits)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			v.failed(before, err)
		default:
			v.failures.Store(0)
			if v.away.CompareAndSwap(true, false) {
				v.log.Info("store of limits back")
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends the connections.
func (v *Valkey) Close() { v.client.Close() }
