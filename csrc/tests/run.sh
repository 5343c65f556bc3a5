#!/bin/sh
# Runs the test programs named as arguments and adds up their results. A program that ends well
# without a line "N passed, N failed" counts as one test; one that ends badly, or ran none, fails.
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for program in "$@"; do
    name=$(basename "$program")
    timeout 300 "$program" >"$out" 2>&1
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$out" | tail -n 1)
    p=${line%% passed*}
    f=${line##* passed, }
    f=${f%% failed*}
    if [ $status -eq 0 ] && [ "$line" = "0 passed, 0 failed" ]; then
        echo "$name: it has run no test"
        f=1
    elif [ $status -eq 0 ]; then
        p=${p:-1}
        f=0
    elif [ "${f:-0}" -eq 0 ]; then # it died before it could report
        p=${p:-0}
        f=1
    fi
    [ $status -eq 0 ] || { echo "---- $name (exit status $status)"; cat "$out"; }
    echo "$name: $p passed, $f failed"
    passed=$((passed + p))
    failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
