package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apikeyd/apikeyd/api"
)

// full is a way to leave a server without room for another byte, and to give the room back.
type full struct {
	folder string // of the database, as the test sees it
	begin  func()
	end    func()
	// nothing: not one byte can be written. Else a change may fit into what the log has had before.
	nothing bool
}

// TestDiskFull takes the room from a busy server. Changes are refused with 503, and none of them is half done; checks go
// on, of keys that are cached and of others; and when there is room again all is well, without a restart.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	// No file may grow: the writes fail with EFBIG.
	t.Run("file size limit", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		s := serve(t, folder)
		limit := func(bytes uint64) {
			var old unix.Rlimit
			if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
				t.Fatal(err)
			}
			if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: old.Max}, nil); err != nil {
				t.Fatal(err)
			}
		}
		goThroughFull(t, s, full{folder, func() { limit(0) }, func() { limit(unix.RLIM_INFINITY) }, true})
	})
	// A small disk: the writes fail with ENOSPC.
	t.Run("small disk", func(t *testing.T) {
		t.Parallel()
		s, folder := serveOnSmallDisk(t)
		filler := filepath.Join(folder, "filler")
		goThroughFull(t, s, full{folder,
			func() { fill(t, filler) },
			func() {
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
			}, false})
	})
}

// serveOnSmallDisk starts a server whose folder is a file system of some megabytes in memory, in a namespace of its own.
// It skips the test where the system does not allow that.
func serveOnSmallDisk(t *testing.T) (s *server, folder string) {
	t.Helper()
	mountPoint := t.TempDir()
	inNamespace := func(cmd *exec.Cmd) {
		cmd.Dir = mountPoint
		cmd.Env = append(cmd.Env, anyPort...)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	const mount = "mount -t tmpfs -o size=24m none ."
	probe := exec.Command("sh", "-c", mount)
	probe.SysProcAttr = new(syscall.SysProcAttr)
	inNamespace(probe)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("this system lets nobody mount a file system in a namespace (%v %s); "+
			"the limit on file sizes is tested all the same", err, out)
	}
	p := launchCommand(t, inNamespace, "sh", "-c", mount+` && cd "$PWD" && exec apikeyd serve`)
	return await(t, p, mountPoint), fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, mountPoint)
}

// fill leaves no room on the file system that path is on.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func goThroughFull(t *testing.T, s *server, disk full) {
	t.Helper()
	c, v := s.client(s.token), s.verifier()
	newKey := func(name string) api.CreatedKey {
		t.Helper()
		k, err := c.CreateKey(t.Context(), draft(name))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	checks := func(when string, keys ...api.CreatedKey) {
		t.Helper()
		for _, k := range keys {
			if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: k.Token}); err != nil || !a.Valid {
				t.Errorf("%s: a check of %s: %+v, %v", when, k.KeyName, a, err)
			}
		}
	}
	cached, fresh, doomed := newKey("cached"), newKey("not checked before"), newKey("doomed")
	checks("before", cached)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	book := newLedger()
	var busy sync.WaitGroup
	for worker := range 8 {
		c := s.once(s.token)
		busy.Go(func() {
			if err := book.work(ctx, c, fmt.Sprint(worker)); err != nil && ctx.Err() == nil {
				t.Errorf("nobody but the database is unavailable: %v", err)
			}
		})
	}
	book.await(t, 100)
	disk.begin()
	await := time.Now()
	for book.count(refused) < 50 && time.Since(await) < patience {
		time.Sleep(time.Millisecond)
	}

	// No change is half done, and what is asked is answered.
	once := s.once(s.token)
	_, err := once.UpdateKey(t.Context(), doomed.KeyID, api.KeyPatch{KeyName: "changed"})
	changed := happened(t, "update", err, disk)
	k, err := c.GetKey(t.Context(), doomed.KeyID)
	if err != nil || (k.KeyName == "changed") != changed {
		t.Errorf("while the disk is full: changed %t, %+v, %v", changed, k, err)
	}
	_, err = once.RotateKey(t.Context(), doomed.KeyID, time.Hour)
	happened(t, "rotate", err, disk)
	checks("while the disk is full", cached, fresh, doomed)
	deleted := happened(t, "delete", once.DeleteKey(t.Context(), doomed.KeyID), disk)
	if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: doomed.Token}); err != nil || a.Valid == deleted {
		t.Errorf("while the disk is full: deleted %t, %+v, %v", deleted, a, err)
	}
	if resp, err := http.Get(s.verification + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %v, %v; it can answer checks", resp, err)
	} else {
		resp.Body.Close()
	}

	disk.end()
	book.await(t, 100)
	stop()
	busy.Wait()
	checks("afterwards", cached, fresh)
	if err := c.DeleteKey(t.Context(), doomed.KeyID); !deleted && err != nil || deleted && !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a delete afterwards: %v", err)
	}
	book.check(t, s)
	t.Logf("%d keys live, %d were deleted, %d were refused", book.count(alive), book.count(dead), book.count(refused))

	// The small disk goes with its server. Nobody writes any more, so the file and its log can be copied as they are.
	copied := filepath.Join(t.TempDir(), "apikeyd.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(filepath.Join(disk.folder, "apikeyd.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		write(t, copied+suffix, content)
	}
	inspect(t, copied)
	s.stop()
}

// happened reports whether a change was made while the disk was full.
func happened(t *testing.T, what string, err error, disk full) bool {
	t.Helper()
	if err != nil && !errors.Is(err, api.ErrUnavailable) || err == nil && disk.nothing {
		t.Errorf("%s: %v, want unavailable", what, err)
	}
	return err == nil
}

// TestKillOnFullDisk kills a server that has run out of room in the middle of a write. What it refused has not happened
// when it is started again, with room.
func TestKillOnFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := serve(t, folder)
	token := s.token
	book := newLedger()
	var busy sync.WaitGroup
	for worker := range 8 {
		c := s.once(token)
		busy.Go(func() { _ = book.work(context.Background(), c, fmt.Sprint(worker)) }) // until the server is gone
	}
	book.await(t, 100)
	log, err := os.Stat(filepath.Join(folder, "apikeyd.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	room := uint64(log.Size()) + 6000 // less than a page more, or two
	began := time.Now()
	for narrowed := began; book.count(refused) < 50; time.Sleep(time.Millisecond) {
		if narrowed.After(began) && time.Since(narrowed) < time.Second {
			continue
		}
		if time.Since(began) > patience {
			t.Fatal("nothing is refused")
		}
		if narrowed.After(began) { // SQLite writes its log from the beginning again, and does not come to its end so soon
			room /= 2
		}
		limit := unix.Rlimit{Cur: room, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		narrowed = time.Now()
	}
	s.kill()
	busy.Wait()

	s = serve(t, folder)
	s.token = token
	book.check(t, s)
	s.stop()
	inspect(t, filepath.Join(folder, "apikeyd.db"))
}
