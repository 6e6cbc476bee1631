"""Reports: documented SQL, one file each."""
