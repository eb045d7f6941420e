# $units: of each of these units its name, its ActiveState and its UnitFileState, a line each.
n='
'
units=$n$(systemctl show -p ActiveState -p UnitFileState -- "$@" </dev/null 2>/dev/null |
  awk -v names="$*" 'BEGIN { split(names, name, " "); RS = "" } { print name[NR], $1, $2 }')$n
