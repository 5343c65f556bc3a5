#!/bin/sh
# spin.sh BUILD [--short]: the futex protocol in Promela (mutex.pml), checked by spin: it holds,
# and each of its planted bugs is found. Where there is no spin, says so and passes.
build=$1/spin
short=$2
here=$(cd "$(dirname "$0")" && pwd)
command -v spin >/dev/null || {
    echo "spin      SKIPPED: no spin on this machine (Debian: apt-get install spin)"
    echo "0 passed, 0 failed"
    exit 0
}
rm -rf "$build"
mkdir -p "$build"
cd "$build" || exit 1
passed=0
failed=0

check() { # WANTED NAME FLAG...
    wanted=$1
    name=$2
    shift 2
    # Safety: assertions, and states in which nobody can move but not all have ended.
    if spin "$@" -a "$here/mutex.pml" >log 2>&1 && ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c &&
        ./pan -m1000000 >out 2>&1 && grep -q '^Full statespace search' out; then
        verdict=holds
        grep -q 'errors: 0$' out || verdict=$(sed -n "s/^pan:[0-9]*: \([a-z ]*[a-z]\).*/\1/p" out)
        grep -q 'max search depth too small' out && verdict="cut short"
    else
        verdict="did not run"
    fi
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
    printf '%-9s %-58s %46s  %s\n' spin "$name" "${states:--} states" "$verdict"
    case $wanted:$verdict in
    holds:holds | found:assertion* | found:invalid*) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) && tail -n 3 log out ;;
    esac
}

check holds "the mutex, 2 threads, 3 rounds" -DN=2 -DROUNDS=3 -DSPURIOUS=2
[ -n "$short" ] || check holds "the mutex, 3 threads, 2 rounds" -DN=3 -DROUNDS=2 -DSPURIOUS=1
check holds "the mutex, 2 threads, 1 may die" -DN=2 -DROUNDS=2 -DDEATHS=1
check holds "the mutex, 3 threads, 2 may die" -DN=3 -DROUNDS=1 -DDEATHS=2
check found "planted: who was woken takes the lock without WAITERS" -DPLANT=1
check found "planted: the sleep does not compare" -DPLANT=2
check found "planted: WAITERS is not set before the sleep" -DPLANT=3
check found "planted: an heir is not told" -DPLANT=4 -DDEATHS=1 -DROUNDS=1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
