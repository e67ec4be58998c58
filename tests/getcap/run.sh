#!/app/probe
