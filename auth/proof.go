package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const (
	// maxProof is the longest proof that is looked at: one with an RSA key of
	// 8192 bits takes 4 KiB.
	maxProof     = 8 << 10
	maxProofText = 256          // bytes of a text in it
	lastSecond   = 253402300799 // of the year 9999
)

// A proof is a DPoP proof that proves what it has to, if it is the first use.
type proof struct {
	id    string    // of the owner's proofs for this URL
	until time.Time // when it is too old
}

// badProof refuses a proof. It quotes nothing of it.
func badProof(format string, args ...any) *Error {
	return invalid(ReasonProof, report.Causef(format, args...))
}

// prove checks everything about the proof in r that needs no memory (RFC 9449
// section 4.3). What is cheap comes first, and nothing of the claims is looked
// at before the signature.
func (d *DPoP) prove(r *http.Request, accessToken, thumbprint string, now time.Time) (*proof, error) {
	values := r.Header["Dpop"]
	if len(values) != 1 {
		return nil, badProof("%d DPoP headers, want one", len(values))
	}
	if len(values[0]) > maxProof {
		return nil, badProof("%d bytes, want at most %d", len(values[0]), maxProof)
	}
	c, err := split(values[0])
	if err != nil {
		return nil, badProof("the proof is not three parts of base64url")
	}
	k, err := d.proofKey(c.header)
	if err != nil {
		return nil, err
	}
	// Before the signature, so that a key that somebody made up costs nobody
	// a verification.
	if subtle.ConstantTimeCompare([]byte(k.thumbprint), []byte(thumbprint)) != 1 {
		return nil, invalid(ReasonBinding, report.Cause("the proof's key is not the one that the token is bound to"))
	}
	payload, signature, err := c.decode()
	if err == nil {
		err = c.verify(&k.key, signature)
	}
	if err != nil {
		return nil, ofProof(err)
	}
	claims, err := strictjson.Members(payload)
	if err != nil {
		return nil, invalid(ReasonProof, err)
	}
	return d.checkClaims(claims, r, accessToken, thumbprint, now)
}

// ofProof makes a fault of a JWS one of a proof.
func ofProof(err error) *Error {
	e := classify(err)
	return invalid(ReasonProof, e.Err)
}

// A proofKey is the key in a proof's header with the algorithm there.
type proofKey struct {
	key
	thumbprint string
}

// proofKey reads the header. A kid, an x5u or a jku in it is nobody's business.
func (d *DPoP) proofKey(part string) (proofKey, error) {
	raw, err := strict.DecodeString(part)
	if err != nil {
		return proofKey{}, badProof("the header is not base64url")
	}
	var o strictjson.Object
	if err := o.Parse(raw); err != nil {
		return proofKey{}, invalid(ReasonProof, err)
	}
	h, err := readHeader(&o)
	if err != nil {
		return proofKey{}, ofProof(err)
	}
	if h.typ != typeProof {
		return proofKey{}, badProof("typ is not dpop+jwt")
	}
	a := d.algorithms[h.alg]
	if a == nil {
		return proofKey{}, badProof("alg is not one of Algorithms")
	}
	jwk, err := parseJWK(o.Get("jwk"))
	if err != nil {
		return proofKey{}, badProof("jwk is not a public key that is fit to verify with")
	}
	if !a.fits(jwk.value) || jwk.alg != "" && jwk.alg != h.alg {
		return proofKey{}, badProof("alg does not fit jwk")
	}
	return proofKey{newKey("", a, jwk.value), thumbprintOf(jwk.value)}, nil
}

// proofText returns a member that must be a text of 1 to 256 bytes.
func proofText(m map[string]json.RawMessage, name string) (string, bool) {
	s, ok := strictjson.Text(m[name])
	return s, ok && s != "" && len(s) <= maxProofText
}

func (d *DPoP) checkClaims(m map[string]json.RawMessage, r *http.Request, accessToken, thumbprint string, now time.Time) (*proof, error) {
	if htm, ok := proofText(m, "htm"); !ok || htm != r.Method {
		return nil, badProof("htm is not the method of the request")
	}
	want, err := d.target(r)
	if err != nil {
		return nil, invalid(ReasonProof, err)
	}
	htu, _ := strictjson.Text(m["htu"])
	if got, ok := parseTarget(htu); !ok || got != want {
		if got.scheme = want.scheme; ok && got == want {
			return nil, badProof("htu is not %s as the request is: behind a proxy set Origin or Trust", want.scheme)
		}
		return nil, badProof("htu is not the URL of the request")
	}
	p := new(proof)
	if p.until, err = d.lifetime(m, now); err != nil {
		return nil, invalid(ReasonProof, err)
	}
	jti, ok := proofText(m, "jti")
	if !ok {
		return nil, badProof("jti is not a text of 1 to %d bytes", maxProofText)
	}
	sum := sha256.Sum256([]byte(accessToken))
	if ath, ok := proofText(m, "ath"); !ok || ath != strict.EncodeToString(sum[:]) {
		return nil, badProof("ath is not the hash of the token")
	}
	if d.nonces != nil {
		if nonce, ok := proofText(m, "nonce"); !ok || !d.nonces.fresh(nonce, now, d.leeway) {
			return nil, invalid(ReasonNonce, report.Cause("nonce is not one of ours that is fresh"))
		}
	}
	sum = hashOf(thumbprint, want.scheme, want.host, want.path, jti)
	p.id = strict.EncodeToString(sum[:])
	return p, nil
}

// lifetime checks iat, and exp and nbf where they are. It returns when the
// proof will be too old.
func (d *DPoP) lifetime(m map[string]json.RawMessage, now time.Time) (time.Time, error) {
	var none time.Time
	issued, ok := proofDate(m["iat"])
	if !ok {
		return none, report.Cause("iat is not a date")
	}
	until := issued.Add(d.maxAge + d.leeway)
	switch {
	case !now.Before(until):
		return none, report.Causef("made %v ago", now.Sub(issued).Round(time.Second))
	case issued.After(now.Add(d.leeway)):
		return none, report.Causef("made in %v", issued.Sub(now).Round(time.Second))
	}
	if raw, ok := m["exp"]; ok {
		if expires, ok := proofDate(raw); !ok || !now.Before(expires.Add(d.leeway)) {
			return none, report.Cause("exp is over")
		}
	}
	if raw, ok := m["nbf"]; ok {
		if from, ok := proofDate(raw); !ok || from.After(now.Add(d.leeway)) {
			return none, report.Cause("nbf is to come")
		}
	}
	return until, nil
}

// proofDate decodes a NumericDate (RFC 7519 section 2).
func proofDate(raw json.RawMessage) (time.Time, bool) {
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds > lastSecond {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*float64(time.Second))), true
}

// claimedNonce is the nonce that the proof of r has, whoever made it.
func claimedNonce(r *http.Request) string {
	values := r.Header["Dpop"]
	if len(values) != 1 || len(values[0]) > maxProof {
		return ""
	}
	c, err := split(values[0])
	if err != nil {
		return ""
	}
	payload, _, err := c.decode()
	if err != nil {
		return ""
	}
	claims, err := strictjson.Members(payload)
	if err != nil {
		return ""
	}
	nonce, _ := proofText(claims, "nonce")
	return nonce
}
