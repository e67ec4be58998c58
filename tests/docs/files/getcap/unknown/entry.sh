#!/bin/sh
. /etc/profile.d/app.sh
exec server
