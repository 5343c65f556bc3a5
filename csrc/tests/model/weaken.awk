# weaken.awk FILE=PROGRAM... : for each ordered atomic operation in those sources a mutant in which
# it is one step weaker, in the format of mutants.txt. The program is run in its short form.
# Called with -v core=FOLDER.
BEGIN {
    weaker["load_acq"] = "load_rlx"
    weaker["load_sc"] = "load_acq"
    weaker["store_rel"] = "store_rlx"
    weaker["store_sc"] = "store_rel"
    weaker["swap_acq"] = weaker["swap_rel"] = "swap_rlx"
    weaker["swap_acq_rel"] = "swap_acq swap_rel"
    weaker["cas_acq"] = weaker["cas_rel"] = "cas_rlx"
    weaker["cas_acq_rel"] = "cas_acq cas_rel"
    weaker["add_rel"] = "add_rlx"
    weaker["add_acq_rel"] = "add_acq add_rel"
    weaker["sub_acq_rel"] = "sub_acq sub_rel"
    weaker["atomic_exchange"] = "swap_acq_rel"
    weaker["atomic_fetch_add"] = "add_acq_rel"
    weaker["atomic_fetch_sub"] = "sub_acq_rel"
    weaker["atomic_compare_exchange_strong"] = "cas_acq_rel"
    for (k = 1; k < ARGC; k++) {
        split(ARGV[k], pair, "=")
        weaken(pair[1], pair[2])
    }
}

function weaken(file, program,    line, number, rest, op, nth, n, w, i, seen) {
    while ((getline line < (core "/" file)) > 0) {
        number++
        if (line ~ /^ *(\/\*| \*)/) continue
        split("", nth)
        for (rest = line; match(rest, /[a-z_0-9]+\(/); rest = substr(rest, RSTART + RLENGTH)) {
            op = substr(rest, RSTART, RLENGTH - 1)
            if (!(op in weaker)) continue
            nth[op]++
            seen[op]++
            n = split(weaker[op], w, " ")
            for (i = 1; i <= n; i++) {
                printf("%s.%s.%d%s %s %s --short\n", file, op, seen[op], (n > 1 ? "." w[i] : ""), file,
                       program)
                printf("    %ds/\\<%s(/%s(/%d\n", number, op, w[i], nth[op])
            }
        }
    }
    close(core "/" file)
}
