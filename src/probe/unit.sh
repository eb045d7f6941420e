case $units in *"$n$1 "*)
  unit=${units#*"$n$1 "}
  printf '%s\n' ${unit%%"$n"*}
  ;;
esac
printf Stamp=
{
  IFS= read -r line && printf %s "$line"
  while IFS= read -r line; do printf '\n%s' "$line"; done
} <"/var/lib/slipway/stamps/$1"
echo
