#compdef tokar
# zsh completion for tokar. tokar itself knows what may stand at the cursor; zsh
# quotes it, and knows files and directories better.
_tokar() {
	setopt localoptions extendedglob
	local -a answer texts shown
	local line text about how typed=${(Q)PREFIX}
	# Words are unquoted once, and never expanded.
	answer=("${(@f)$(command tokar __complete zsh "${(@Q)words[2,CURRENT-1]}" "$typed" 2>/dev/null </dev/null)}")
	how=${answer[1]% *}
	for line in "${(@)answer[2,-1]}"; do
		text=${line%%$'\t'*} about=${line#*$'\t'}
		texts+=("$text")
		shown+=("$text${about:+  -- $about}")
	done
	# Candidates begin after what ends in this character.
	case ${typed[${answer[1]##* }]-} in
	/) compset -P '*/' ;;
	=) compset -P '[^=]#=' ;;
	:) compset -P '[^:]#:' ;;
	esac
	case $how in
	files) _files ;;
	dirs) _files -/ ;;
	*)
		local -a suffix
		[[ ${texts[1]-} == *[/:] ]] && suffix=(-S '')
		compadd "${(@)suffix}" -l -d shown -a -- texts
		;;
	esac
}
if [[ $funcstack[1] == _tokar ]]; then
	_tokar "$@" # loaded from a file of fpath
else
	compdef _tokar tokar
fi
