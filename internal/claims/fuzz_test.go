package claims_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/claims"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// FuzzRead: of an object that encoding/json reads too, and that has each name
// once, the claims that are read are those that encoding/json reads.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"https://id.example.com","sub":"a","aud":["x","y"],"exp":1790000000,"iat":1.5,"scope":"r w","act":{"sub":"b"},"cnf":{}}`,
		`{"sub":"\u0061\ud83d\ude00","scp":["a","b"],"amr":["pwd"],"jti":"","azp":"c","acr":"\\"}`,
		` { "sub" : "a" , "r" : { "o" : [ "x" ] } } `, `{"exp":-0,"nbf":1e3}`, `{"sub":null}`, `{"cid":7,"client_id":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var o strictjson.Object
		if o.Parse(raw) != nil || claims.Exact(&o) != nil {
			return
		}
		set, err := claims.Read(&o, "r.o", "i")
		if err != nil {
			return
		}
		var want struct {
			Iss, Sub, Jti, Acr string
			ClientID           string `json:"client_id"`
			Azp                string
			Amr, Scope, Scp    any
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("read what encoding/json does not: %v", err)
		}
		if set.Subject != want.Sub || set.TokenID != want.Jti || set.ACR != want.Acr {
			t.Errorf("read %+v, want %+v", set, want)
		}
		if client := want.ClientID; client != "" && set.ClientID != client || client == "" && want.Azp != "" && set.ClientID != want.Azp {
			t.Errorf("client = %q, want %q or %q", set.ClientID, want.ClientID, want.Azp)
		}
		scope := want.Scope
		if !o.Has("scope") {
			scope = want.Scp
		}
		if got := texts(scope, true); !slices.Equal(set.Scopes, got) {
			t.Errorf("scopes = %q, want %q", set.Scopes, got)
		}
		if got := texts(want.Amr, false); !slices.Equal(set.AMR, got) {
			t.Errorf("amr = %q, want %q", set.AMR, got)
		}
		ours, err := claims.ForOne(&o, []string{"x"})
		var aud struct{ Aud any }
		if json.Unmarshal(raw, &aud) == nil && err == nil && ours != slices.Contains(texts(aud.Aud, false), "x") {
			t.Errorf("ForOne = %t of %v", ours, aud.Aud)
		}
		dates, err := claims.ReadDates(&o)
		var numbers struct{ Exp, Nbf, Iat float64 }
		if err == nil && json.Unmarshal(raw, &numbers) == nil {
			if o.Has("exp") && dates.Expires.Unix() != int64(numbers.Exp) {
				t.Errorf("exp = %v, want %v", dates.Expires.Unix(), numbers.Exp)
			}
			for name, d := range map[string][2]float64{"nbf": {float64(dates.NotBefore.Unix()), numbers.Nbf}, "iat": {float64(dates.Issued.Unix()), numbers.Iat}} {
				if o.Has(name) && (d[0] < d[1] || d[0] >= d[1]+1) {
					t.Errorf("%s = %v, want %v rounded up", name, d[0], d[1])
				}
			}
		}
	})
}

// texts are the strings of a claim that is one or a list of them.
func texts(v any, split bool) (all []string) {
	switch v := v.(type) {
	case string:
		if !split {
			return []string{v}
		}
		all = strings.Split(v, " ")
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				panic(reflect.TypeOf(e))
			}
			all = append(all, s)
		}
		if !split {
			return all
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}
