unset PYTHONHOME PYTHONPATH PYTHONSTARTUP
name=diracx-pilot.pyz

fail() {
    echo "diracx-pilot: $*" >&2
    exit 1
}

# What a batch system gives this job alone is the best place; it empties that at the end, too.
for place in "$_CONDOR_SCRATCH_DIR" "$SLURM_TMPDIR" "$TMPDIR" "$PWD"; do
    [ -n "$place" ] && folder=$place/diracx-$DIRACX_PILOT_STAMP && mkdir "$folder" 2> /dev/null && break
    folder=
done
[ -n "$folder" ] || fail "no folder can be made in the job's scratch, TMPDIR or $PWD: is the disk full?"
export DIRACX_PILOT_FOLDER="$folder"
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM

pythons() {
    for one in $wanted python3 python3.14 python3.13 python3.12 python3.11; do
        command -v "$one"
    done
}

any=$(pythons | head -n 1)
[ -n "$any" ] || fail "there is no ${wanted:-python3} on this node: state PilotPython for the queue"

fetch() {
    if command -v curl > /dev/null; then
        curl --fail --silent --show-error --location --max-time 900 --output "$folder/$name" "$address"
    elif command -v wget > /dev/null; then
        wget -q -T 60 -O "$folder/$name" "$address"
    else
        "$any" -I -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as came, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(came, file)' "$address" "$folder/$name"
    fi
}

# The server may be away, or make the file only now.
for pause in $pauses end; do
    fetch 2> "$folder/trouble" && break
    [ "$pause" = end ] && fail "$address cannot be fetched: $(tail -n 1 "$folder/trouble")"
    sleep "$pause"
done

if command -v sha256sum > /dev/null; then
    found=$(sha256sum < "$folder/$name")
else
    found=$("$any" -I -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$folder/$name")
fi
found=${found%% *}
[ "$found" = "$checksum" ] ||
    fail "what came from $address has the SHA-256 $found, not $checksum: it is not run; is there a proxy?"

python=
for one in $(pythons); do
    DIRACX_PILOT_TRIAL=1 "$one" -I "$folder/$name" 2> "$folder/trouble" && python=$one && break
done
[ -n "$python" ] || fail "no Python here runs it: $(tail -n 1 "$folder/trouble"); see diracx pilots pack"
