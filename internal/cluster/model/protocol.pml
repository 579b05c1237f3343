/*
 * The protocol by which nodes of a cluster answer checks from memory, for the model checker spin. What it must keep:
 *
 *	Once a change of a key has been answered, no check that begins afterwards is answered from what was known before.
 *
 * It stands below as assertions in judge. The same in prose, and why it holds, is docs/consistency.md.
 *
 * There is one key. A change either touches it or another one, and gets the next number. What a look-up reads is the
 * number of the last change that touched the key, its version; so a stale answer is one with too low a version. Each
 * `do` below offers single steps, and the checker goes through every order of all of them. A process that is frozen
 * needs no step of its own: it is one that does nothing while others go on, and it may be so before each step.
 *
 * Time is ticks. All clocks tick together: what they may differ in over one lease is in LEASE already, which is how long
 * a lease may seem to last to somebody else. Nothing says how much happens within a tick, so nothing is fast or slow.
 *
 * A request may be late by any time, and lost before or after it had its effect. A statement of the database reads at
 * one moment, its snapshot, and has its effect at a later one. The turn to write makes a change one step.
 *
 * MUTATE_... breaks one rule each. The test of this folder shows that the checker sees that.
 */

#ifndef NODES
#define NODES 2
#endif
#ifndef CHANGES
#define CHANGES 2 /* that are committed */
#endif
#ifndef WRITERS
#define WRITERS NODES /* the first of the nodes, which make changes */
#endif
#ifndef CACHERS
#define CACHERS NODES /* the last of the nodes, which hold leases */
#endif

#define LEASE 2 /* ticks that a lease lasts, with the margin */
#ifdef MUTATE_NO_MARGIN
#define WAIT (LEASE - 1)
#else
#define WAIT LEASE
#endif

#define NONE 15 /* no version */

#define HIGHER(a, b) ((a) > (b) -> (a) : (b))

/* The database. */

typedef Row {
	bit there;
	byte applied
}

byte last;                   /* the number of the last change */
bit touches[CHANGES + 1];    /* whether a change touches the key */
byte version;                /* of the key */
Row row[NODES];

byte promised; /* the highest version that was answered to whoever made it */

/* The nodes. */

mtype:joining = {out, asked, member};
mtype:looking = {nothing, sent, read};
mtype:renewing = {still, under_way, granted, effective};
mtype:following = {idle, told, half};
mtype:checking = {quiet, leased, waiting, direct};

typedef Node {
	mtype:joining joined;
	byte applied;
	byte lease; /* ticks left by its own clock */
	byte cached;

	/* A look-up to fill the cache. One that nobody joins and that is not cached any more is of no interest: what it
	 * brings goes only to checks that were there before it was sent. So it is dropped, where nothing is mutated. */
	mtype:looking lookup;
	byte found;
	bit alone;    /* it began without a lease */

	mtype:renewing renewal;
	byte age;     /* ticks since before it was sent */
	byte carried; /* the applied that it was sent with */

	mtype:following follow;
	byte upto;

	mtype:checking check;
	byte needed; /* the lowest version that it may be answered from */

	byte changing; /* the number that it waits for, 0: none */
	byte promise;  /* the version that its answer promises */
	byte left;     /* ticks until all leases of before the commit have ended */
	byte pending   /* a bit for each node that has not let go; its own: its cache */
}

Node node[NODES];

/* The promise. */
inline judge(n, v) {
	assert(v >= node[n].needed);
	node[n].check = quiet;
	node[n].needed = 0
}

/* What a node waits for from the database is no longer wanted. */
inline drop_renewal(n) {
	node[n].renewal = still;
	node[n].age = 0;
	node[n].carried = 0
}

inline drop_follow(n) {
	node[n].follow = idle;
	node[n].upto = 0
}

/* Those who wait for a look-up that may not be used look again. */
inline drop_lookup(n) {
	node[n].lookup = nothing;
	node[n].found = 0;
	node[n].alone = 0;
	if
	:: node[n].check == waiting -> node[n].check = leased
	:: else
	fi
}

/* A change of the key is applied: it leaves the cache, and a look-up under way is detached. */
inline invalidate(n) {
	node[n].cached = NONE;
#ifndef MUTATE_KEEP_LOOKUP
	drop_lookup(n)
#endif
}

/* What belongs to the term that ends here: look-ups under way. */
inline end_term(n) {
#ifndef MUTATE_TERMS
	drop_lookup(n)
#else
	skip
#endif
}

inline forget(n) {
	node[n].cached = NONE;
	end_term(n)
}

/* The node is a member no longer, and joins anew. */
inline fall_out(n) {
	forget(n);
	drop_renewal(n);
	drop_follow(n);
	node[n].lease = 0;
	node[n].applied = 0;
	node[n].joined = out
}

/* Applies the changes up to upto. */
inline apply(n) {
	id = node[n].applied + 1;
	do
	:: id > node[n].upto -> break
	:: id <= node[n].upto && touches[id] -> invalidate(n); break
	:: id <= node[n].upto && !touches[id] -> id++
	od;
	id = 0;
	node[n].applied = node[n].upto;
	drop_follow(n)
}

/* Joining, following, acknowledging, renewing: what keeps a lease. */
proctype Member(byte n) {
	byte id;
	do
	/* join: the row says what is applied, and an empty cache has everything applied */
	:: d_step { node[n].joined == out ->
		node[n].applied = last;
		node[n].joined = asked }
	:: d_step { node[n].joined == asked ->
		row[n].there = 1;
		row[n].applied = node[n].applied;
		node[n].joined = member }

	/* leave, be reaped, or be killed and start again: whatever the order, there is no lease when the row is gone */
	:: d_step { node[n].joined == member ->
		fall_out(n);
		row[n].there = 0;
		row[n].applied = 0 }

	/* follow: read what changed, apply it, and only then say so */
	:: d_step { node[n].joined == member && node[n].follow == idle && node[n].applied < last ->
		node[n].upto = last;
		node[n].follow = told }
	:: d_step { node[n].follow == told ->
		apply(n) }
	/* the changes that it lacks are pruned */
	:: d_step { node[n].follow == told ->
		forget(n);
		node[n].applied = node[n].upto;
		drop_follow(n) }

	/* acknowledge */
	:: d_step { node[n].joined == member && row[n].there && row[n].applied < node[n].applied ->
		row[n].applied = node[n].applied }

	/* renew */
	:: d_step { node[n].joined == member && node[n].renewal == still ->
		node[n].carried = node[n].applied;
		node[n].renewal = under_way }
	:: d_step { node[n].renewal == under_way ->
		if
#ifndef MUTATE_GRANT_BEHIND
		:: node[n].carried == last -> node[n].renewal = granted
		:: else -> drop_renewal(n)
#else
		:: node[n].renewal = granted
#endif
		fi }
	:: d_step { node[n].renewal == granted ->
		if
		:: row[n].there ->
			row[n].applied = node[n].carried;
			node[n].carried = 0;
			node[n].renewal = effective
		:: else -> fall_out(n)
		fi }
	:: d_step { node[n].renewal == effective ->
		if
		:: node[n].lease == 0 -> end_term(n)
		:: else
		fi;
#ifndef MUTATE_LEASE_FROM_ANSWER
		node[n].lease = HIGHER(node[n].lease, LEASE - node[n].age);
#else
		node[n].lease = LEASE;
#endif
		drop_renewal(n) }
	:: d_step { node[n].renewal != still -> drop_renewal(n) }

	/* one of its clocks says that it ended */
	:: d_step { node[n].lease > 0 -> node[n].lease = 0 }
	od
}

/* Checks, and the look-ups that they share. */
proctype Checker(byte n) {
	do
	/* A check begins. Before anything is promised, every answer will do. That it looks at the lease at once is the
	 * worst case: later, less would be asked of it. */
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
			:: node[n].lookup == nothing -> node[n].lookup = sent
			:: else
			fi
		fi }
	:: d_step { node[n].check == direct -> judge(n, version) }
#ifdef MUTATE_SHARE_WITHOUT_LEASE
	:: d_step { node[n].check == direct && node[n].lookup != nothing -> node[n].check = waiting }
	:: d_step { node[n].lookup == nothing -> node[n].lookup = sent }
#endif

	/* a look-up for checks that began before */
	:: d_step { node[n].lookup == nothing && node[n].cached == NONE && node[n].lease > 0 -> node[n].lookup = sent }
	:: d_step { node[n].lookup == sent ->
		node[n].found = version;
		node[n].lookup = read }
	:: d_step { node[n].lookup == read ->
		if
		:: node[n].lease > 0 -> node[n].cached = node[n].found
		:: else
		fi;
		if
#ifndef MUTATE_SHARE_WITHOUT_LEASE
		:: node[n].check == waiting && node[n].lease > 0 -> judge(n, node[n].found)
#else
		:: node[n].check == waiting -> judge(n, node[n].found)
#endif
		:: else
		fi;
		drop_lookup(n) }
	:: d_step { node[n].lookup != nothing -> drop_lookup(n) } /* it fails */

	:: d_step { node[n].cached != NONE -> node[n].cached = NONE } /* evicted */
	od
}

#define OTHERS(n) (((1 << NODES) - 1) & ~(1 << n))

/* Whether node m needs not be waited for any more by the change that node n makes. */
#ifndef MUTATE_NO_WAIT
#define LET_GO(n, m) (!row[m].there || row[m].applied >= node[n].changing || node[n].left == 0)
#else
#define LET_GO(n, m) (true)
#endif

inline begin_wait(n) {
	node[n].changing = last;
	node[n].promise = version;
	node[n].pending = OTHERS(n) | (1 << n);
	node[n].left = WAIT
}

/* Making changes. */
proctype Writer(byte n) {
	byte m;
	do
	/* commit; the clock runs from here at the earliest */
	:: d_step { node[n].changing == 0 && last < CHANGES ->
		last++;
		touches[last] = 1;
		version = last;
		begin_wait(n) }
	/* a change of another key, whose answer promises nothing of interest */
	:: d_step { last < CHANGES - 1 -> last++ }
	/* a change that finds done already what it wants, though perhaps not yet answered */
	:: d_step { node[n].changing == 0 && version > promised ->
#ifndef MUTATE_REPEAT_AT_ONCE
		begin_wait(n)
#else
		promised = version
#endif
		}
	/* its own cache */
	:: d_step { node[n].pending & (1 << n) ->
		invalidate(n);
		node[n].pending = node[n].pending & ~(1 << n) }
	/* others: they have acknowledged, or are gone, or their leases have ended */
	:: d_step { node[n].pending & OTHERS(n) ->
		do
		:: m < NODES ->
			if
			:: m != n && LET_GO(n, m) -> node[n].pending = node[n].pending & ~(1 << m)
			:: else
			fi;
			m++
		:: else -> break
		od;
		m = 0;
		if
		:: node[n].pending & OTHERS(n) -> skip
		:: else -> node[n].left = 0
		fi }
	:: d_step { node[n].changing > 0 && node[n].pending == 0 ->
		promised = HIGHER(promised, node[n].promise);
		node[n].promise = 0;
		node[n].changing = 0;
		node[n].left = 0 }
	od
}

/* A renewal that took so long brings no lease any more. */
#ifndef MUTATE_LEASE_FROM_ANSWER
#define OUT_OF_TIME(n) drop_renewal(n)
#else
#define OUT_OF_TIME(n) skip
#endif

/* Time. */
proctype Clock() {
	byte n;
	do
	:: d_step {
		n = 0;
		do
		:: n < NODES ->
			if
			:: node[n].lease > 0 -> node[n].lease--
			:: else
			fi;
			if
			:: node[n].left > 0 -> node[n].left--
			:: else
			fi;
			if
			:: node[n].renewal != still && node[n].age < LEASE - 1 -> node[n].age++
			:: node[n].renewal != still && node[n].age == LEASE - 1 -> OUT_OF_TIME(n)
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0 }
	od
}

init {
	byte n;
	atomic {
		do
		:: n < NODES ->
			node[n].cached = NONE;
			node[n].joined = out;
			node[n].lookup = nothing;
			node[n].renewal = still;
			node[n].follow = idle;
			node[n].check = quiet;
			if
			:: n >= NODES - CACHERS -> run Member(n); run Checker(n)
			:: else
			fi;
			if
			:: n < WRITERS -> run Writer(n)
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = 0;
		run Clock()
	}
}
