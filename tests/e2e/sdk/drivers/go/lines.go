// The protocol of the drivers in Go: a line of standard input, a line of JSON. Beside it, a service that
// shows the token it gets.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"
)

// serve answers each line `WAY RESOURCE [CLIENT_ID]` with a token or with the tool's error. The time is zero where
// the tool doesn't tell when the token expires: then it's the token's own claim.
func serve(token func(resource, clientID string) (string, time.Time, error)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := append(strings.Fields(lines.Text()), "")
		answer := map[string]any{}
		if token, expiresOn, err := token(fields[1], fields[2]); err != nil {
			answer["error"] = err.Error()
		} else {
			if expiresOn.IsZero() {
				expiresOn = expiry(token)
			}
			answer["token"] = token
			answer["expires_on"] = expiresOn.Unix()
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}

func expiry(token string) time.Time {
	claims := struct{ Exp int64 }{}
	if parts := strings.Split(token, "."); len(parts) == 3 {
		decoded, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(decoded, &claims)
	}
	return time.Unix(claims.Exp, 0)
}

// service is an HTTPS server that answers every request alike and remembers the last token.
type service struct {
	*httptest.Server
	sync.Mutex
	seen string
}

func newService(contentType, answer string) *service {
	s := &service{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		s.seen = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, answer)
	}))
	return s
}

// take returns the last token and forgets it.
func (s *service) take() string {
	s.Lock()
	defer s.Unlock()
	token := s.seen
	s.seen = ""
	return token
}
