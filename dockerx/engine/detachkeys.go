package engine

// DetachKeys reads the key sequence that docker's config file sets for detaching;
// empty if it sets none.
func DetachKeys(getenv func(string) string) (string, error) {
	cfg, err := readConfig(configDir(getenv))
	return cfg.DetachKeys, err
}
