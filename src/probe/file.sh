[ -e "$1" ] || [ -L "$1" ] || exit 1
[ -f "$1" ] && [ ! -L "$1" ] || exit 2
set -- "$1" "$2" "$3$1" $(stat -c "%a %U:%G %s $4" "$1")
echo "$4 $5"
[ "$2" = 0 ] || { head -c "$2" "$1"; exit; }
[ -e "$3" ] && read -r state digest <"$3" && [ "$state" = "$7" ] && { echo "$digest"; exit; }
[ "$6" -ge 1048576 ] && openssl dgst -sha256 -r <"$1" || sha256sum <"$1"
