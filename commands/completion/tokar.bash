# bash completion for tokar. tokar itself knows what may stand at the cursor, and
# quotes it; bash only knows files and directories better.
_tokar() {
	local how
	COMPREPLY=()
	{
		read -r how || return 0
		mapfile -t COMPREPLY
	} < <(command tokar __complete bash "$2" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
	case $how in
	files) compopt -o default ;;
	dirs) compopt -o dirnames ;;
	esac
	case ${COMPREPLY[0]-} in
	*[/:]) compopt -o nospace ;;
	esac
}
complete -F _tokar tokar
