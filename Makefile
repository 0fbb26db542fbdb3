# Shortcuts; the scripts say what they do.
.PHONY: setup run test unit full

setup run test:
	scripts/$@

unit full:
	scripts/test $@
