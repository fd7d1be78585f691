package engine

// DetachKeys reads the key sequence that docker's config file sets for detaching;
// empty if it sets none, or cannot be read: docker goes on as well (see ResolveAddress,
// which warns).
func DetachKeys(getenv func(string) string) (string, error) {
	cfg, err := readConfig(configDir(getenv))
	if err != nil {
		return "", nil //nolint:nilerr // said once, by ResolveAddress
	}
	return cfg.DetachKeys, nil
}
