/* The mutex's futex protocol (mutex.c), for spin: one at a time, no lost wake, one heir.
 *
 * A second opinion: written from the table in mutex.h, in another language, and checked by another
 * program, under sequential consistency (the memory orders are the model checker's business). The
 * word is (owner, waiters); a sleep compares and begins in one step; a wake reaches any sleeper.
 *
 *     N          threads
 *     ROUNDS     times that each locks
 *     SPURIOUS   sleeps that may end for no reason
 *     DEATHS     threads that may die, at any step; sleeps are in slices then, and heirs are told
 *     PLANT      a planted bug: 1 who was woken takes the lock without WAITERS; 2 the sleep does
 *                not compare; 3 WAITERS is not set before the sleep; 4 an heir is not told
 *
 * A lost wake is an invalid end state: somebody sleeps, and nobody can move.
 */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef SPURIOUS
#define SPURIOUS 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef PLANT
#define PLANT 0
#endif

byte owner = 0; /* 0, or 1 + the thread's number */
bit waiters = 0;
bit asleep[N];
bit dead[N];
bit half = 0; /* the protected data are half changed */
byte inside = 0, spurious = 0, deaths = 0;

inline may_die() {
    if
    :: DEATHS > 0 && deaths < DEATHS -> atomic { deaths++; dead[me] = 1; goto died }
    :: skip
    fi
}

proctype thread(byte me) {
    byte seen_owner, rounds = 0;
    bit seen_waiters, mine, timed_out, told;

next:
    if
    :: rounds == ROUNDS -> goto ended
    :: else -> rounds++
    fi;
    mine = 0;
    timed_out = 0;
    told = 0;
    may_die();
    atomic { /* mutex_take */
        if
        :: owner == 0 -> owner = me + 1; goto locked
        :: else
        fi
    };
look:
    atomic { seen_owner = owner; seen_waiters = waiters };
    may_die();
    if
    :: seen_owner == 0 ->
        atomic {
            if
            :: owner == 0 ->
                owner = me + 1;
                waiters = (PLANT == 1 -> 0 : mine);
                goto locked
            :: else -> goto look
            fi
        }
    :: else
    fi;
    if
    :: !seen_waiters && PLANT != 3 ->
        atomic {
            if
            :: owner == seen_owner && !waiters -> waiters = 1; seen_waiters = 1
            :: else -> goto look
            fi
        }
    :: else
    fi;
    may_die();
    if
    :: timed_out && dead[seen_owner - 1] -> /* inherit */
        atomic {
            if
            :: owner == seen_owner && waiters == seen_waiters ->
                owner = me + 1;
                told = (PLANT != 4);
                goto locked
            :: else -> goto look
            fi
        }
    :: else
    fi;
    mine = 1;
    atomic { /* c2_os_wait: all threads of one process, so the low half is WAITERS and "held" */
        if
        :: PLANT == 2 || (owner != 0 && waiters == seen_waiters) -> asleep[me] = 1
        :: else -> goto look
        fi
    };
    timed_out = 0;
    if
    :: !asleep[me]
    :: spurious < SPURIOUS -> atomic { spurious++; asleep[me] = 0 }
    :: DEATHS > 0 && deaths > 0 -> atomic { asleep[me] = 0; timed_out = 1 } /* a slice ends */
    :: DEATHS > 0 && deaths < DEATHS -> atomic { deaths++; dead[me] = 1; asleep[me] = 0; goto died }
    fi;
    goto look;

locked:
    if
    :: told -> half = 0; inside = 0 /* what the dead left */
    :: else
    fi;
    assert(!half && inside == 0);
    inside++;
    half = 1;
    may_die();
    half = 0;
    inside--;
    may_die();
    atomic { /* mutex_give */
        if
        :: !waiters -> owner = 0; goto next
        :: else
        fi
    };
    atomic { owner = 0; waiters = 0 };
    may_die(); /* the wake is lost then, and slices find it out */
    atomic {
        if
        :: asleep[0] -> asleep[0] = 0
        :: N > 1 && asleep[1] -> asleep[1] = 0
        :: N > 2 && asleep[N - 1] -> asleep[N - 1] = 0
        :: else
        fi
    };
    goto next;

died:
    skip;
ended:
    skip
}

init {
    atomic {
        run thread(0);
        run thread(1);
        if
        :: N > 2 -> run thread(N - 1)
        :: else
        fi
    }
}
