package cli

// Invoke runs a command in this process, for tests in package cli_test.
var Invoke = invoke
