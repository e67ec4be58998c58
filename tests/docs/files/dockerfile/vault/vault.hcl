disable_mlock = false
