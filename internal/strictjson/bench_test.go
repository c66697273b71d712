package strictjson_test

import (
	"encoding/json"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

var payload = []byte(`{"iss":"https://id.example.com","sub":"6f1c7e9a-52a1-4a4e-8b5c-1f6f1f0f4d3e","aud":"https://api.example.com",` +
	`"exp":1790000000,"iat":1789996400,"nbf":1789996400,"jti":"f3b1c2d4e5","client_id":"web","scope":"orders:read orders:write"}`)

func BenchmarkObject(b *testing.B) {
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		var o strictjson.Object
		if err := o.Parse(payload); err != nil || o.Get("scope") == nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValid(b *testing.B) {
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if !json.Valid(payload) {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		var m map[string]json.RawMessage
		if json.Unmarshal(payload, &m) != nil {
			b.Fatal("not valid")
		}
	}
}
