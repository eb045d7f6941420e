# $files: what stat says of each of these files that is there, a line each; $digests: of those that are small, as
# sha256sum writes them. Both begin and end with a line's end, $n.
n='
'
files=$n$(stat -c "%a %U:%G %s $state %F:%n" -- "$@" 2>/dev/null)$n
digests=$n$(find "$@" -maxdepth 0 -type f -size -2048 -exec sha256sum -- {} + 2>/dev/null)$n
