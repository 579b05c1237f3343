/*
 * The protocol by which the nodes of a cluster answer checks from memory, for the model checker spin. What it must keep:
 *
 *	Once a change of a key has been answered, no check that begins afterwards is answered from what was known before.
 *
 * It is the assertion in judge. The same in prose, and why it holds, is in docs/consistency.md.
 *
 * There is one key. A change touches either that one or another. What a look-up finds is the last change that touched
 * the key, its version, so an answer is stale if its version is too low. Each `do` below offers steps, and the checker
 * goes through all steps of everybody in every order. A frozen process needs no step: it is one that does nothing while
 * others go on, and between any two steps it may. Nor does a killed one: it freezes, or it starts again.
 *
 * Time passes in ticks, for all at once: LEASE is how long a lease may seem to last by anybody's clock, so it has the
 * margin in it. Any number of steps may happen within a tick, and none, so nothing is quick or slow.
 *
 * A request may take any time, and be lost before or after it had its effect. What a statement reads is of one moment,
 * its snapshot; its effect may come later. A change, which holds the turn to write from its first read to its commit, is
 * one step.
 *
 * Notifications that bring changes or acknowledgements are no steps of their own. To hear of changes is to have read them at the moment of
 * the last one's commit, and to act on that later, as in Follow; to hear that a node has applied a change is to have read its row when it
 * said so. A renewal in a hurry, which grants no lease, is one whose answer is lost.
 *
 * Options:
 *
 *	NODES, WRITERS, CACHERS  how many nodes; the first of them make changes, the last of them answer from memory
 *	CHANGES                  how many are committed
 *	LEASE                    how many ticks a lease lasts
 *	FAILOVER                 once, another server takes over that lacks the last changes
 *	MUTATE_...               breaks a rule; the test in this folder shows that the checker notices
 *	BEYOND_...               asks for more than is promised, which is not kept
 */

#ifndef NODES
#define NODES 2
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef CACHERS
#define CACHERS 1
#endif
#ifndef CHANGES
#define CHANGES 2
#endif

#ifndef LEASE
#define LEASE 2
#endif
#ifndef MUTATE_NO_MARGIN
#define WAIT LEASE /* ticks after which a lease of somebody else has ended */
#else
#define WAIT (LEASE - 1)
#endif

#define NONE 15 /* no version */

#define EVERYBODY ((1 << NODES) - 1)
#define SELF(n) (1 << n)
#define OTHERS(n) (EVERYBODY & ~SELF(n))
#define HIGHER(a, b) ((a) > (b) -> (a) : (b))
#define LOWER(a, b) ((a) < (b) -> (a) : (b))

/* The database. */

typedef Row {
	bit there;
	byte applied; /* what the node has acknowledged */
	byte watched /* a bit for each node whose change waits for the row, while the beat is what it was at first */
}
Row row[NODES];

byte last; /* the last change */
byte commits;
bit touches[CHANGES + 1]; /* whether a change touches the key */
byte version; /* of the key */

byte promised; /* the highest version of which somebody was told that it is in force */

/* Changes are told apart here by the order of their commits. The nodes know their numbers only; where the database falls
 * back to an earlier state, a change is lost, and another one gets its number. It then has another history, and says so. */
#ifndef FAILOVER
#define NUMBER(c) (c)
#define KEPT(c) (true)
#define KNOWS_HISTORY(n) (true)
#else
byte number[CHANGES + 1];
bit kept[CHANGES + 1];
bit failed_over;
#define NUMBER(c) number[c]
#define KEPT(c) kept[c]
#ifndef MUTATE_IGNORE_HISTORY
#define KNOWS_HISTORY(n) (node[n].history == failed_over)
#else
#define KNOWS_HISTORY(n) (true)
#endif
#endif

/* The nodes. */

mtype:joining = {out, asked, member};
mtype:following = {idle, told, late, half};
mtype:renewing = {no, sent, granted, done};
mtype:looking = {none, begun, found};
mtype:checking = {quiet, leased, waiting, direct};

typedef Node {
	mtype:joining joined;
	byte applied; /* the last change */
	byte cached;  /* a version */
	byte lease;   /* ticks left */

	mtype:following follow;
	byte upto; /* the last change that it was told of */
	bit hits;  /* one of those that it was told of touches the key */

	mtype:renewing renewal;
	byte age;     /* ticks since before it was sent */
	byte carried; /* what was applied when it was sent */
#ifdef FAILOVER
	bit history; /* of the database that it has joined */
	bit sees;    /* the history that the renewal has seen */
	bit renewed; /* the history that the last renewal had seen */
#endif

	/* A look-up whose outcome is shared and cached. One that was detached serves only those who asked for it before it was
	 * sent, which cannot go wrong; so it is left out here. */
	mtype:looking lookup;
	byte outcome;

	mtype:checking check;
	byte needed; /* the lowest version that it may be answered from */

	byte changing; /* the change that it waits for */
	byte promise;  /* the version that the answer promises */
	byte pending;  /* a bit for each node that may answer from what was before */
	byte left      /* ticks until all leases have ended that were asked for before the commit */
}
Node node[NODES];

inline judge(n, v) {
	assert(v >= node[n].needed);
#ifdef FAILOVER
	assert(KEPT(v) || !node[n].renewed); /* who has renewed since does not answer from what was lost */
#endif
#ifdef BEYOND_PROMISE
	promised = HIGHER(promised, v); /* what somebody has seen is seen by all who come later */
#endif
	node[n].check = quiet;
	node[n].needed = 0
}

/* Who waits for the look-up looks again. */
inline drop_lookup(n) {
	node[n].lookup = none;
	node[n].outcome = 0;
	if
	:: node[n].check == waiting -> node[n].check = leased
	:: else
	fi
}

inline drop_follow(n) {
	node[n].follow = idle;
	node[n].upto = 0;
	node[n].hits = 0
}

inline drop_renewal(n) {
	node[n].renewal = no;
	node[n].age = 0;
	node[n].carried = 0;
#ifdef FAILOVER
	node[n].sees = 0;
#endif
	drop_follow(n)
}

/* The key changed: it leaves the cache, and a look-up under way is detached, under one lock. */
inline invalidate(n) {
	node[n].cached = NONE;
#ifndef MUTATE_CACHE_DETACHED
	drop_lookup(n)
#endif
}

/* So do all keys. */
inline forget(n) {
	node[n].cached = NONE;
#ifndef MUTATE_USE_LOST_TERM
	drop_lookup(n)
#endif
}

/* The node is no member any more, and holds no lease. */
inline fall_out(n) {
#ifdef MUTATE_FORGET_BEFORE_JOIN
	forget(n);
#endif
	drop_renewal(n);
	node[n].lease = 0;
	node[n].applied = 0;
	node[n].joined = out
}

inline remove_row(n) {
	row[n].there = 0;
	row[n].watched = 0;
	row[n].applied = 0
}

#define IS_NEWS(c, since) (KEPT(c) && touches[c] && NUMBER(c) > NUMBER(since))

/* Reads whether the key was touched since a change. */
inline read_changes(n, since) {
	c = commits;
	do
	:: c > 0 && IS_NEWS(c, since) -> node[n].hits = 1; break
	:: c > 0 && !IS_NEWS(c, since) -> c--
	:: c == 0 -> break
	od;
	c = 0
}

inline apply(n) {
	if
	:: node[n].hits -> invalidate(n)
	:: else
	fi
}

/* A lease counts from before it was asked for. */
#ifndef MUTATE_LEASE_FROM_ANSWER
#define REST(n) (LEASE - node[n].age)
#else
#define REST(n) LEASE
#endif

inline begin_lease(n) {
	node[n].lease = HIGHER(node[n].lease, REST(n));
#ifdef FAILOVER
	node[n].renewed = node[n].sees;
#endif
	drop_renewal(n)
}

/* Joining, following, acknowledging, renewing. */
proctype Member(byte n) {
	byte c;
	do
	/* Join. With an empty cache everything is applied that was committed by then. It is emptied when the row is there: what
	 * was looked up before may lack a change that the row says is applied. */
	:: d_step { node[n].joined == out ->
		node[n].applied = last;
#ifdef FAILOVER
		node[n].history = failed_over;
#endif
		node[n].joined = asked }
	:: d_step { node[n].joined == asked ->
		row[n].there = 1;
		row[n].applied = node[n].applied;
#ifndef MUTATE_FORGET_BEFORE_JOIN
		forget(n);
#endif
		node[n].joined = member }

	/* Leave, or start again for whatever reason. The lease is given up before the row. */
	:: d_step { node[n].joined == member ->
		fall_out(n);
		remove_row(n) }
#ifdef MUTATE_ROW_GOES_FIRST
	:: d_step { row[n].there -> remove_row(n) }
#endif

	/* Follow, where there is word of a change. It is late when changes were pruned that it lacks, and when it has applied more than
	 * there is. */
	:: d_step { node[n].joined == member && node[n].renewal == no && node[n].follow == idle && NUMBER(node[n].applied) != NUMBER(last) ->
		if
		:: !KNOWS_HISTORY(n) -> fall_out(n); remove_row(n)
		:: KNOWS_HISTORY(n) && NUMBER(node[n].applied) < NUMBER(last) ->
			read_changes(n, node[n].applied);
			node[n].upto = last;
			node[n].follow = told
		:: KNOWS_HISTORY(n) ->
			node[n].upto = last;
			node[n].follow = late
		fi }
#ifndef MUTATE_SAY_APPLIED_FIRST
	:: d_step { node[n].follow == told ->
		apply(n);
		node[n].applied = node[n].upto;
		drop_follow(n) }
#else
	:: d_step { node[n].follow == told ->
		node[n].applied = node[n].upto;
		node[n].follow = half }
	:: d_step { node[n].follow == half ->
		apply(n);
		drop_follow(n) }
#endif
	:: d_step { node[n].follow == late ->
		forget(n);
		node[n].applied = node[n].upto;
		drop_follow(n) }

	/* Renew. It is sent, */
	:: d_step { node[n].joined == member && node[n].renewal == no && (node[n].follow == idle || node[n].follow == half) ->
		node[n].carried = node[n].applied;
		node[n].renewal = sent }
	/* reads by its snapshot what was changed, */
	:: d_step { node[n].renewal == sent ->
		if
		:: !KNOWS_HISTORY(n) -> fall_out(n); remove_row(n)
		:: else ->
			read_changes(n, node[n].carried);
			node[n].upto = last;
#ifdef FAILOVER
			node[n].sees = failed_over;
#endif
			node[n].renewal = granted
		fi }
	/* has its effect, where the row is there and has the beat, */
	:: d_step { node[n].renewal == granted ->
		if
		:: row[n].there ->
			row[n].applied = node[n].carried;
			row[n].watched = 0;
			node[n].renewal = done
		:: else ->
			fall_out(n);
			remove_row(n)
		fi }
	/* and is answered: changes first, and then the lease. Where they were pruned, or it had applied more than there is, it forgets. */
	:: d_step { node[n].renewal == done && NUMBER(node[n].carried) <= NUMBER(node[n].upto) ->
#ifndef MUTATE_GRANT_BEHIND
		apply(n);
#endif
		node[n].applied = node[n].upto;
		begin_lease(n) }
	:: d_step { node[n].renewal == done ->
		forget(n);
		node[n].applied = node[n].upto;
		begin_lease(n) }
	:: d_step { node[n].renewal != no -> drop_renewal(n) } /* lost */

	/* One of its clocks says that the lease has ended. */
	:: d_step { node[n].lease > 0 -> node[n].lease = 0 }
	od
}

/* Checks, and look-ups to fill the cache. */
proctype Checker(byte n) {
	do
	/* A check begins, and asks the clocks. If it did that later, less would be asked of its answer. Before anything is
	 * promised every answer is right, so there are no checks before. */
	:: d_step { node[n].check == quiet && promised > 0 ->
		node[n].needed = promised;
		if
		:: node[n].lease > 0 -> node[n].check = leased
		:: else -> node[n].check = direct
		fi }
	:: d_step { node[n].check == leased ->
		if
		:: node[n].cached != NONE -> judge(n, node[n].cached)
		:: else ->
			node[n].check = waiting;
			if
			:: node[n].lookup == none -> node[n].lookup = begun
			:: else
			fi
		fi }
	:: d_step { node[n].check == direct -> judge(n, version) }
#ifdef MUTATE_SHARE_WITHOUT_LEASE
	:: d_step { node[n].check == direct && node[n].lookup != none -> node[n].check = waiting }
	:: d_step { node[n].lookup == none -> node[n].lookup = begun }
#endif
#ifdef BEYOND_PROMISE
	:: d_step { node[n].check == quiet && version > promised ->
		node[n].needed = promised;
		node[n].check = direct }
#endif

	/* A look-up for checks that began before. Whether the lease is held still when it ends does not matter: before the next
	 * lease, the node is told of all that it may have missed. */
	:: d_step { node[n].lookup == none && node[n].cached == NONE && node[n].lease > 0 -> node[n].lookup = begun }
	:: d_step { node[n].lookup == begun ->
		node[n].outcome = version;
		node[n].lookup = found }
	:: d_step { node[n].lookup == found ->
		node[n].cached = node[n].outcome;
		if
		:: node[n].check == waiting -> judge(n, node[n].outcome)
		:: else
		fi;
		drop_lookup(n) }
	:: d_step { node[n].lookup != none -> drop_lookup(n) } /* failed */

	:: d_step { node[n].cached != NONE -> node[n].cached = NONE } /* evicted */
	od
}

inline commit(touching) {
	commits++;
#ifdef FAILOVER
	number[commits] = number[last] + 1;
	kept[commits] = 1;
#endif
	last = commits;
	touches[last] = touching;
	if
	:: touching -> version = last
	:: else
	fi
}

/* It reads the rows, and the clock starts, at the commit; later would only make it wait longer. */
inline begin_wait(n) {
	node[n].changing = last;
	node[n].promise = version;
	node[n].pending = EVERYBODY;
	node[n].left = WAIT;
	do
	:: m < NODES ->
		if
		:: row[m].there && m != n -> row[m].watched = row[m].watched | SELF(n)
		:: else
		fi;
		m++
	:: else -> break
	od;
	m = 0
}

#define HAS_APPLIED(m, n) (NUMBER(row[m].applied) >= NUMBER(node[n].changing))
#ifndef MUTATE_NO_WAIT
#define LET_GO(m, n) (!row[m].there || HAS_APPLIED(m, n) || node[n].left == 0)
#else
#define LET_GO(m, n) (true)
#endif
#ifndef MUTATE_EXPEL_THE_RENEWED
#define IS_DEAD(m, n) (row[m].watched & SELF(n) && !HAS_APPLIED(m, n))
#else
#define IS_DEAD(m, n) (row[m].there && !HAS_APPLIED(m, n))
#endif

/* Making changes. */
proctype Writer(byte n) {
	byte m;
	do
	:: d_step { node[n].changing == 0 && commits < CHANGES ->
		commit(1);
		begin_wait(n) }
	/* A change of another key: of its answer, nothing is asked here. */
	:: d_step { commits < CHANGES - 1 -> commit(0) }
	/* A change that finds done already what it was to do, though perhaps not yet answered. */
	:: d_step { node[n].changing == 0 && version > promised ->
#ifndef MUTATE_REPEAT_AT_ONCE
		begin_wait(n)
#else
		promised = version
#endif
		}

	:: d_step { node[n].pending & SELF(n) ->
		invalidate(n);
		node[n].pending = node[n].pending & ~SELF(n) }
	/* Of the others it reads who has acknowledged, and who is gone. */
	:: d_step { node[n].pending & OTHERS(n) ->
		do
		:: m < NODES ->
			if
			:: m != n && LET_GO(m, n) -> node[n].pending = node[n].pending & ~SELF(m)
			:: else
			fi;
			m++
		:: else -> break
		od;
		m = 0;
		if
		:: node[n].pending & OTHERS(n)
		:: else -> node[n].left = 0
		fi }
	/* Whom it has waited for until the end of the lease, and who was not renewed meanwhile, it may expel, so that the next
	 * change need not wait. */
	:: d_step { node[n].pending & OTHERS(n) && node[n].left == 0 ->
		do
		:: m < NODES ->
			if
			:: m != n && IS_DEAD(m, n) -> remove_row(m)
			:: else
			fi;
			m++
		:: else -> break
		od;
		m = 0 }
	:: d_step { node[n].changing > 0 && node[n].pending == 0 ->
		promised = HIGHER(promised, node[n].promise);
		do
		:: m < NODES ->
			row[m].watched = row[m].watched & ~SELF(n);
			m++
		:: else -> break
		od;
		m = 0;
		node[n].promise = 0;
		node[n].changing = 0;
		node[n].left = 0 }
	od
}

/* A renewal that took as long as a lease brings none. */
#ifndef MUTATE_LEASE_FROM_ANSWER
#define TOO_LATE(n) drop_renewal(n)
#else
#define TOO_LATE(n) skip
#endif

proctype Clock() {
	byte n;
	do
	:: d_step { true ->
		do
		:: n < NODES ->
			if
			:: node[n].lease > 0 -> node[n].lease--
			:: else
			fi;
			if
			:: node[n].renewal != no && node[n].age < LEASE - 1 -> node[n].age++
			:: node[n].renewal != no && node[n].age == LEASE - 1 -> TOO_LATE(n)
			:: else
			fi;
			if
			:: node[n].left > 0 -> node[n].left--
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0 }
	od
}

#ifdef FAILOVER
/*
 * Another server takes over, which lacks the last changes, and what was written to the rows of nodes since. Of answers that
 * promised what is lost, nothing is asked any more. What is promised from then on must be kept.
 */
proctype Failover() {
	byte n;
	atomic { !failed_over && last > 0 ->
		failed_over = 1;
		do
		:: kept[last] = 0;
			last--;
			if
			:: last == 0 -> break
			:: last > 0
			fi
		:: !kept[commits] -> break
		od;
		version = last;
		do
		:: version > 0 && !touches[version] -> version--
		:: else -> break
		od;
		promised = LOWER(promised, version);
		do
		:: n < NODES ->
			node[n].needed = LOWER(node[n].needed, version);
			node[n].promise = LOWER(node[n].promise, version);
			if
			:: node[n].joined == asked -> fall_out(n)
			:: else
			fi;
			if
			:: node[n].renewal == granted -> drop_renewal(n)
			:: else
			fi;
			row[n].applied = LOWER(row[n].applied, last);
#ifdef BEYOND_LOST_NODES
			if
			:: row[n].there -> remove_row(n)
			:: true
			fi;
#endif
			n++
		:: else -> break
		od;
		n = 0 }
}
#endif

init {
	byte n;
	atomic {
#ifdef FAILOVER
		kept[0] = 1;
		run Failover();
#endif
		run Clock();
		do
		:: n < NODES ->
			node[n].joined = out;
			node[n].cached = NONE;
			node[n].follow = idle;
			node[n].renewal = no;
			node[n].lookup = none;
			node[n].check = quiet;
			if
			:: n >= NODES - CACHERS ->
				run Member(n);
				run Checker(n)
			:: else
			fi;
			if
			:: n < WRITERS -> run Writer(n)
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0
	}
}
