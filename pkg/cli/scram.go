package cli

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"regexp"
	"strconv"
)

// scramMechanism is a SASL/SCRAM mechanism (RFC 5802, RFC 7677) for which
// users can have credentials.
type scramMechanism struct {
	name   string // SCRAM-SHA-256
	enum   string // SCRAM_SHA_256, as some messages have it
	number int8   // in requests
	hash   func() hash.Hash
}

// scramIterations are the fewest iterations, and those that are made when
// nothing is said.
const scramIterations = 4096

var scramMechanisms = []*scramMechanism{
	{"SCRAM-SHA-256", "SCRAM_SHA_256", 1, sha256.New},
	{"SCRAM-SHA-512", "SCRAM_SHA_512", 2, sha512.New},
}

// scramByName finds a mechanism; nil when there is none.
func scramByName(name string) *scramMechanism {
	for _, m := range scramMechanisms {
		if m.name == name {
			return m
		}
	}
	return nil
}

// scramByNumber finds a mechanism by its number in requests. One that is not
// known has the name UNKNOWN.
func scramByNumber(number int8) *scramMechanism {
	for _, m := range scramMechanisms {
		if m.number == number {
			return m
		}
	}
	return &scramMechanism{name: "UNKNOWN"}
}

// scramValue is what --add-config takes behind a mechanism's name and =.
var scramValue = regexp.MustCompile(`^(?:iterations=(-?[0-9]*),)?password=(.*)$`)

// parse reads iterations=N,password=P. shown is the mechanism's name in the
// message about too few iterations.
func (m *scramMechanism) parse(text, shown string) (iterations int32, password string, err error) {
	match := scramValue.FindStringSubmatch(text)
	if match == nil {
		return 0, "", exceptionf(illegalArgument, "Invalid credential property %s=%s", m.enum, text)
	}
	n := int64(scramIterations)
	if match[1] != "" && match[1] != "-1" {
		if n, err = strconv.ParseInt(match[1], 10, 32); err != nil {
			return 0, "", exceptionf(numberFormat, "For input string: \"%s\"", match[1])
		}
	}
	if n < scramIterations {
		return 0, "", exceptionf(illegalArgument, "Iterations %d is less than the minimum %d required for %s", n, scramIterations, shown)
	}
	return int32(n), match[2], nil
}

// scramCredential is what is kept of a password.
type scramCredential struct {
	salt, saltedPassword []byte
	iterations           int32
	mechanism            *scramMechanism
}

// credential derives a credential with a new salt.
func (m *scramMechanism) credential(password string, iterations int32) (*scramCredential, error) {
	salt := make([]byte, 24)
	rand.Read(salt) // never fails, see crypto/rand
	return m.credentialWithSalt(password, salt, iterations)
}

func (m *scramMechanism) credentialWithSalt(password string, salt []byte, iterations int32) (*scramCredential, error) {
	salted, err := pbkdf2.Key(m.hash, password, salt, int(iterations), m.hash().Size())
	if err != nil {
		return nil, fmt.Errorf("deriving the credential: %w", err)
	}
	return &scramCredential{salt: salt, saltedPassword: salted, iterations: iterations, mechanism: m}, nil
}

// String is the form of the znode: salt, stored key and server key in base64,
// and the iterations.
func (c *scramCredential) String() string {
	sign := func(text string) []byte {
		mac := hmac.New(c.mechanism.hash, c.saltedPassword)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	storedKey := c.mechanism.hash()
	storedKey.Write(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("salt=%s,stored_key=%s,server_key=%s,iterations=%d",
		encode(c.salt), encode(storedKey.Sum(nil)), encode(sign("Server Key")), c.iterations)
}
