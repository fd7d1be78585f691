// func grow()
TEXT ·grow(SB), 0, $40960-0
	RET
