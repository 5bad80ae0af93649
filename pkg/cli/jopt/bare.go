package jopt

// NewBare returns a parser without options, for the few tools that have
// neither --help nor --version.
func NewBare() *Parser { return &Parser{byName: map[string]*Option{}} }
