# The page does not show the program, which signs nothing here.
printf '#!/bin/sh\ncase $1 in *@sha256:*) echo "signed $1" ;; *) exit 1 ;; esac\n' >sign.sh
chmod +x sign.sh
