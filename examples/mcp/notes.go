package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/validate"
)

// A message is what a client sends (JSON-RPC 2.0), as far as this server reads
// it.
type message struct {
	Version string          `json:"jsonrpc" validate:"eq=2.0"`
	ID      json.RawMessage `json:"id"` // none in a notification
	Method  string          `json:"method" validate:"required,max=64"`
	Params  struct {
		Name      string `json:"name" validate:"max=64"`
		Arguments struct {
			Text string `json:"text" validate:"max=500" sanitize:"text"`
		} `json:"arguments"`
	} `json:"params"`
}

// dispatch answers the methods that a client of two tools needs. The tools are
// handlers, behind what each of them requires.
func dispatch(tools map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := received(r)
		tool, known := tools[in.Params.Name]
		switch {
		case in.ID == nil:
			w.WriteHeader(http.StatusAccepted)
		case in.Method == "initialize":
			reply(w, r, map[string]any{
				"protocolVersion": "2025-11-25", "capabilities": map[string]any{"tools": struct{}{}},
				"serverInfo": map[string]string{"name": "notes", "version": "1"},
			})
		case in.Method == "ping":
			reply(w, r, struct{}{})
		case in.Method == "tools/list":
			text := map[string]any{"text": map[string]any{"type": "string", "maxLength": 500}}
			reply(w, r, map[string]any{"tools": []map[string]any{
				{"name": "list_notes", "description": "Lists your notes.", "inputSchema": map[string]any{"type": "object"}},
				{"name": "add_note", "description": "Takes a note.", "inputSchema": map[string]any{"type": "object", "properties": text, "required": []string{"text"}}},
			}})
		case in.Method == "tools/call" && known:
			tool.ServeHTTP(w, r)
		case in.Method == "tools/call":
			fail(w, r, -32602, "There is no such tool.")
		default:
			fail(w, r, -32601, "There is no such method.")
		}
	})
}

// notes are kept in memory, the newest hundred of each caller.
type notes struct {
	mu sync.Mutex
	by map[string][]string // principal.ID
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	who, _ := principal.FromContext(r.Context())
	s.notes.mu.Lock()
	text := strings.Join(s.notes.by[who.ID()], "\n")
	s.notes.mu.Unlock()
	replyText(w, r, text)
}

func (s *service) add(w http.ResponseWriter, r *http.Request) {
	who, _ := principal.FromContext(r.Context())
	text := received(r).Params.Arguments.Text
	if text == "" {
		fail(w, r, -32602, "A note needs a text.")
		return
	}
	s.notes.mu.Lock()
	if s.notes.by == nil {
		s.notes.by = make(map[string][]string)
	}
	mine := s.notes.by[who.ID()]
	s.notes.by[who.ID()] = append(mine[max(0, len(mine)-99):], text)
	s.notes.mu.Unlock()
	replyText(w, r, "Noted.")
}

func received(r *http.Request) *message {
	in, ok := validate.FromContext[message](r.Context())
	if !ok {
		return new(message)
	}
	return in
}

func replyText(w http.ResponseWriter, r *http.Request, text string) {
	reply(w, r, map[string]any{"content": []map[string]string{{"type": "text", "text": text}}})
}

func reply(w http.ResponseWriter, r *http.Request, result any) { send(w, r, "result", result) }

func fail(w http.ResponseWriter, r *http.Request, code int, text string) {
	send(w, r, "error", map[string]any{"code": code, "message": text})
}

func send(w http.ResponseWriter, r *http.Request, name string, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": received(r).ID, name: value}) // the client is gone: nobody to tell
}
