package claims_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/claims"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

func parse(t *testing.T, raw string) *strictjson.Object {
	t.Helper()
	o := new(strictjson.Object)
	if err := o.Parse([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, json, roles string
		want              claims.Set
		fault             string
	}{
		{"nothing", `{}`, "", claims.Set{}, ""},
		{"much", `{"sub":"s","client_id":"c","azp":"z","jti":"j","acr":"a","amr":["pwd","otp"],"scope":"r  w ","auth_time":7.9,"cnf":{"jkt":"x"},"act":{"sub":"p","client_id":"q"}}`, "", claims.Set{
			Subject: "s", ClientID: "c", TokenID: "j", ACR: "a", AMR: []string{"pwd", "otp"}, Scopes: []string{"r", "w"},
			AuthTime: time.Unix(7, 0), Confirmation: []byte(`{"jkt":"x"}`), Actor: &principal.Principal{Issuer: "i", Subject: "p", ClientID: "q"},
		}, ""},
		{"scp list", `{"scp":["a b","","c"]}`, "", claims.Set{Scopes: []string{"a b", "c"}}, ""},
		{"scp text", `{"scp":"a b"}`, "", claims.Set{Scopes: []string{"a", "b"}}, ""},
		{"scope before scp", `{"scope":"a","scp":["b"]}`, "", claims.Set{Scopes: []string{"a"}}, ""},
		{"azp", `{"azp":"z"}`, "", claims.Set{ClientID: "z"}, ""},
		{"cid", `{"cid":"o"}`, "", claims.Set{ClientID: "o"}, ""},
		{"cid that is something else", `{"cid":7}`, "", claims.Set{}, ""},
		{"escaped", `{"sub":"\u0061","scope":"a\u0020b"}`, "", claims.Set{Subject: "a", Scopes: []string{"a", "b"}}, ""},
		{"roles", `{"realm_access":{"roles":["x"]}}`, "realm_access.roles", claims.Set{Roles: []string{"x"}}, ""},
		{"role", `{"role":"x"}`, "role", claims.Set{Roles: []string{"x"}}, ""},
		{"cnf null", `{"cnf":null}`, "", claims.Set{Confirmation: []byte("null")}, ""},

		{"sub number", `{"sub":1}`, "", claims.Set{}, "sub is not a string"},
		{"azp list", `{"azp":[]}`, "", claims.Set{}, "azp is not a string"},
		{"scope object", `{"scope":{}}`, "", claims.Set{}, "scope is neither a string nor an array of strings"},
		{"auth_time text", `{"auth_time":"1"}`, "", claims.Set{}, "auth_time is not a number"},
		{"roles on a text", `{"a":"b"}`, "a.b", claims.Set{}, "a is not an object"},
		{"act five deep", `{"act":{"sub":"a","act":{"sub":"b","act":{"sub":"c","act":{"sub":"d","act":{"sub":"e"}}}}}}`, "", claims.Set{}, "act is nested too deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := claims.Read(parse(t, tt.json), tt.roles, "i")
			switch {
			case tt.fault != "":
				if err == nil || err.Error() != tt.fault {
					t.Errorf("Read = %v, want %s", err, tt.fault)
				}
			case err != nil || !equal(got, tt.want):
				t.Errorf("Read = %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// equal takes an empty list for none.
func equal(a, b claims.Set) bool {
	for _, s := range []*claims.Set{&a, &b} {
		for _, l := range []*[]string{&s.Scopes, &s.Roles, &s.AMR} {
			if len(*l) == 0 {
				*l = nil
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

func TestReadDates(t *testing.T) {
	t.Parallel()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, tt := range []struct {
		json  string
		want  claims.Dates
		fault string
	}{
		{`{}`, claims.Dates{}, ""},
		{`{"exp":1,"nbf":2,"iat":3}`, claims.Dates{Expires: at(1), NotBefore: at(2), Issued: at(3)}, ""},
		{`{"exp":1.9,"nbf":1.1,"iat":1.1}`, claims.Dates{Expires: at(1), NotBefore: at(2), Issued: at(2)}, ""},
		{`{"exp":0}`, claims.Dates{Expires: at(0)}, ""},
		{`{"exp":1e3}`, claims.Dates{Expires: at(1000)}, ""},
		{`{"exp":253402300799}`, claims.Dates{Expires: at(253402300799)}, ""},
		{`{"exp":253402300800}`, claims.Dates{}, "exp is out of range"},
		{`{"exp":-1}`, claims.Dates{}, "exp is out of range"},
		{`{"nbf":1e300}`, claims.Dates{}, "nbf is out of range"},
		{`{"iat":9223372036854775808}`, claims.Dates{}, "iat is out of range"},
		{`{"iat":null}`, claims.Dates{}, "iat is not a number"},
		{`{"exp":"1"}`, claims.Dates{}, "exp is not a number"},
	} {
		got, err := claims.ReadDates(parse(t, tt.json))
		if tt.fault == "" && (err != nil || got != tt.want) || tt.fault != "" && (err == nil || err.Error() != tt.fault) {
			t.Errorf("ReadDates(%s) = %v, %v, want %v, %q", tt.json, got, err, tt.want, tt.fault)
		}
	}
}

func TestForOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		json  string
		want  bool
		fault bool
	}{
		{`{"aud":"a"}`, true, false},
		{`{"aud":["x","b"]}`, true, false},
		{`{"aud":"\u0061"}`, true, false},
		{`{"aud":"c"}`, false, false},
		{`{"aud":[]}`, false, false},
		{`{"aud":""}`, false, false},
		{`{}`, false, false},
		{`{"aud":["a",1]}`, false, true},
		{`{"aud":null}`, false, true},
		{`{"aud":[["a"]]}`, false, true},
	} {
		got, err := claims.ForOne(parse(t, tt.json), []string{"a", "b"})
		if got != tt.want || (err != nil) != tt.fault {
			t.Errorf("ForOne(%s) = %t, %v, want %t, an error: %t", tt.json, got, err, tt.want, tt.fault)
		}
	}
	if ours, err := claims.ForOne(parse(t, `{"aud":""}`), nil); ours || err != nil {
		t.Errorf("ForOne without names = %t, %v", ours, err)
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	o := parse(t, `{"a":"x","b":"\u0078","c":1,"d":["x"],"e":null}`)
	for name, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false, "e": false, "f": false} {
		if got := claims.Is(o, name, "x"); got != want {
			t.Errorf("Is(%s) = %t, want %t", name, got, want)
		}
	}
}

func TestExact(t *testing.T) {
	t.Parallel()
	if err := claims.Exact(parse(t, `{"iss":1,"EMAIL":2,"Cid":3}`)); err != nil {
		t.Errorf("Exact = %v", err)
	}
	if err := claims.Exact(parse(t, `{"email_verified":false,"EMAIL_VERIFIED":true}`)); err == nil || err.Error() != "two members differ in case alone" {
		t.Errorf("Exact of a claim in two spellings = %v", err)
	}
	for _, name := range []string{"EXP", "Sub", "i\u017fs", "Client_ID"} {
		if err := claims.Exact(parse(t, `{"`+name+`":1}`)); err == nil || !strings.HasSuffix(err.Error(), "is written in another case") {
			t.Errorf("Exact with %s = %v", name, err)
		}
	}
}
