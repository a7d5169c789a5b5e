# What is done about pilots that are processes: each has a folder of its stamp's name, see local.py.

boot=$(cat /proc/sys/kernel/random/boot_id)

forget_old() {
    find . -mindepth 2 -maxdepth 2 \( -name exit -o -name killed -o -name lost \) -mtime "+$1" |
        while read -r ended; do rm -rf "${ended%/*}"; done
}

# A pilot that is there already is only named. The folder gets its name when the script is whole.
start() {
    if [ ! -d "$1" ]; then
        rm -rf ".$1"
        mkdir ".$1" && cat > ".$1/pilot" && chmod 700 ".$1/pilot" && mv ".$1" "$1" || exit 1
        setsid sh -c '
            cd "$0" || exit 1
            # A trap, unlike ignoring it, is not inherited: the pilot gets the signal, we wait for its end.
            trap : HUP INT TERM
            echo "$$ $(cut -d " " -f 22 /proc/$$/stat) $1" > .process && mv .process process || exit 1
            # Whoever kills writes `killed` first and looks for `process` then: one of the two sees the other.
            [ ! -f killed ] || exit 1
            ./pilot > stdout 2> stderr
            echo $? > .exit
            mv .exit exit
            rm -f pilot
        ' "$1" "$boot" < /dev/null > /dev/null 2>&1 &
    fi
    echo "$1"
}

# Leaves its number in $process.
runs() {
    [ -f "$1/process" ] && read -r process began booted < "$1/process" && [ "$booted" = "$boot" ] || return 1
    stat=
    { read -r stat < "/proc/$process/stat"; } 2> /dev/null
    set -- $stat
    [ "${22:-}" = "$began" ] && [ "$3" != Z ]
}

tell() {
    if [ ! -d "$1" ]; then
        echo "$1 unknown"
    elif runs "$1"; then
        echo "$1 running"
    elif [ -f "$1/exit" ] && read -r code < "$1/exit" && { [ "$code" = 0 ] || [ ! -f "$1/killed" ]; }; then
        echo "$1 ended $code"
    elif [ -f "$1/killed" ]; then
        echo "$1 killed"
    elif [ ! -f "$1/process" ] && [ -n "$(find "$1" -prune -mmin -2)" ]; then
        echo "$1 starting"
    elif runs "$1" || [ -f "$1/exit" ]; then
        # It has begun, or ended, meanwhile.
        tell "$1"
    else
        : > "$1/lost"
        rm -f "$1/pilot"
        echo "$1 lost"
    fi
}

tell_all() {
    while read -r stamp; do tell "$stamp"; done
}

# After $1 seconds those that have not ended get a signal that they cannot refuse.
end_all() {
    left=
    while read -r stamp; do
        if [ -d "$stamp" ] && [ ! -f "$stamp/exit" ] && [ ! -f "$stamp/lost" ]; then
            : > "$stamp/killed"
            if runs "$stamp"; then
                kill -s TERM -- "-$process"
                left="$left $stamp"
            fi
        fi
    done
    tenths=$(($1 * 10))
    while [ -n "$left" ] && [ "$tenths" -gt 0 ]; do
        sleep 0.1
        tenths=$((tenths - 1))
        still=
        for stamp in $left; do
            if runs "$stamp"; then still="$still $stamp"; fi
        done
        left=$still
    done
    for stamp in $left; do
        if runs "$stamp"; then kill -s KILL -- "-$process"; fi
        rm -f "$stamp/pilot"
    done
}
