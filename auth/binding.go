package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"net/http"
)

type DPoP struct{}

func (d *DPoP) Required() bool            { return false }
func (d *DPoP) Nonce() string             { return "" }
func (d *DPoP) challenge(e *Error) string { return "" }
func isProofFault(s string) bool          { return false }

type Binding struct {
	_          [0]func()
	DPoP       *DPoP
	ClientCert func(*http.Request) *x509.Certificate
}

func (b Binding) Check(r *http.Request, scheme, token string, cnf json.RawMessage) error {
	if cnf != nil {
		return invalid(ReasonBinding, nil)
	}
	return nil
}

type RevocationList interface {
	Revoked(ctx context.Context, p *principal.Principal) (bool, error)
}

func boundByProof(json.RawMessage) bool { return false }
