# The seconds that each of twenty synced writes of 4 KiB takes in the first of the words that is a
# directory. The file has lost its name before the first write: nothing is left, however this ends.
for d; do [ -d "$d" ] && break; done
f=$(mktemp "$d/.slipway-XXXXXXXX") && exec 3>"$f" && rm "$f" || exit 1
echo began
timeout 3 sh -c 'n=0; while [ $n -lt 20 ]; do
  dd if=/dev/zero of=/dev/fd/3 bs=4096 count=1 seek=$n conv=notrunc oflag=dsync 2>&1
  n=$((n + 1))
done' | awk '/ copied, / { print $(NF - 3) }'
