# Words: a file system in a file, or nothing; where it is mounted; what fills it, which goes; the
# overlay's options; the root; a command.
if [ -n "$1" ]; then
  mount -o loop,discard,noinit_itable "$1" "$2" && rm -f "$3" || exit
fi
mount -t overlay overlay -o "$4" "$5" && shift 5 && exec "$@"
