package auth_test

import (
	"context"
	"fmt"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

// Where an issuer's metadata is not below its URL, or there is none, the place
// of its keys is given. All tenants of this one sign with the same keys.
func ExampleJWKS() {
	login, err := authtest.NewIssuer(authtest.Config{URL: "https://login.example/common"}) // in memory
	if err != nil {
		panic(err)
	}
	defer login.Close()
	bearer, err := auth.NewJWT(auth.JWTConfig{
		Issuers: []auth.Issuer{{
			URL:      "https://login.example/{tenantid}/v2.0",
			Tenants:  []string{"blue", "green"},
			Audience: []string{"api"},
			Keys:     auth.JWKS("https://login.example/common/jwks"),
		}},
		HTTPClient: login.Client(), // leave it out in a service
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = bearer.Close() }()

	for _, tenant := range []string{"blue", "red"} {
		token := login.Token(map[string]any{"iss": "https://login.example/" + tenant + "/v2.0"})
		if p, err := bearer.Verify(context.Background(), token); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(p.Subject, "of", p.Tenant)
		}
	}
	// Output:
	// alice of blue
	// auth: issuer: iss is none of the configured issuers
}

// A process that serves before its issuer was ever reached answers with 503.
// Ready keeps requests away until then, and says why.
func ExampleJWT_Ready_unreachable() {
	issuer, err := authtest.NewIssuer(authtest.Config{URL: "https://id.example.com"})
	if err != nil {
		panic(err)
	}
	issuer.Close() // nobody is there
	bearer, err := auth.NewJWT(auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: "https://id.example.com", Audience: []string{"api"}}},
		HTTPClient: issuer.Client(),
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = bearer.Close() }()

	fmt.Println(bearer.Ready(context.Background()))
	// Output:
	// auth: keys of "https://id.example.com": auth: unavailable: the connection was refused
}
