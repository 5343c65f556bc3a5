#!/bin/sh
# prove.sh BUILD CORE [--short] -- PROGRAM...: runs the programs, as many at a time as there are
# processors ("spin" is spin.sh), prints their tables in order, and adds up what passed and failed.
# The long form plants every bug of mutants.txt as well.
build=$1
core=$2
shift 2
short=
[ "$1" = --short ] && short=$1 && shift
shift
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
summary='^[0-9]* passed, [0-9]* failed$'

printf '%s\n' "$@" | xargs -P "$jobs" -I NAME sh -c "
    case NAME in
    spin) ./spin.sh '$build' $short ;;
    *) '$build/NAME' $short ;;
    esac >'$build/NAME.out' 2>&1; :"

printf '%-9s %-58s %s  %-8s %9s %9s %8s  %s\n' subject 'what was checked' threads bounds \
    schedules states time verdict
passed=0
failed=0
for name in "$@"; do
    grep -v "$summary" "$build/$name.out"
    line=$(grep "$summary" "$build/$name.out" | tail -n 1)
    if [ -z "$line" ]; then
        echo "$name ended without a result"
        failed=$((failed + 1))
        continue
    fi
    f=${line##* passed, }
    passed=$((passed + ${line%% passed*}))
    failed=$((failed + ${f%% failed*}))
done
echo "bounds: switches away from a thread that could go on; loads of other than the newest store"

if [ -z "$short" ]; then
    ./mutate.sh "$build" "$core" mutants.txt >"$build/mutants.out" 2>&1
    line=$(tail -n 1 "$build/mutants.out")
    echo "planted bugs: $line"
    grep -F '**' "$build/mutants.out"
    passed=$((passed + ${line%% found*}))
    wrong=${line##* excused, }
    failed=$((failed + ${wrong%% wrong*}))
fi
if ! ./mutants.sh --check "$build" "$core"; then
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
