"""Programs that tests start as processes of their own, to do to them what ends or limits one."""
