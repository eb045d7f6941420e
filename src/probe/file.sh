case $files in *":$1$n"*) ;; *) exit 1 ;; esac
seen=${files%%":$1$n"*}
seen=${seen##*"$n"}
case $seen in *' regular file' | *' regular empty file') ;; *) exit 2 ;; esac
digest=
case $digests in *"  $1$n"*)
  digest=${digests%%"  $1$n"*}
  digest=${digest##*"$n"}
  ;;
esac
set -- "$1" "$2" "$3$1" "$4" $seen
echo "$5 $6"
[ -z "$digest" ] || [ "$digest" != "$4" ] || exit 3
[ "$2" = 0 ] || { head -c "$2" "$1"; exit; }
[ -z "$digest" ] || { echo "$digest"; exit; }
[ -e "$3" ] && read -r state digest <"$3" && [ "$state" = "$8" ] && { echo "$digest"; exit; }
[ "$7" -ge 1048576 ] && openssl dgst -sha256 -r <"$1" || sha256sum <"$1"
