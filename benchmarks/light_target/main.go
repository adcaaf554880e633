// A light SSH server for benchmarks: answers the console's start protocol and a few plain commands without a process,
// so that the client is the bottleneck. It understands: true, hostname, stream MEGABYTES. For loopback only.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

const bootstrap = "exec /bin/sh -c 'MUSTER_INVOCATION="

func main() {
	port := flag.Int("port", 2223, "port")
	hostKey := flag.String("host-key", "", "private key file")
	userKey := flag.String("user-key", "", "public key file of the one who may sign in")
	flag.Parse()
	secret, err := os.ReadFile(*hostKey)
	check(err)
	signer, err := ssh.ParsePrivateKey(secret)
	check(err)
	public, err := os.ReadFile(*userKey)
	check(err)
	allowed, _, _, _, err := ssh.ParseAuthorizedKey(public)
	check(err)
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), allowed.Marshal()) {
				return nil, fmt.Errorf("not this key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", *port))
	check(err)
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		check(err)
		go serve(conn, config)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func serve(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	for wanted := range channels {
		if wanted.ChannelType() != "session" {
			wanted.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		if channel, requests, err := wanted.Accept(); err == nil {
			go session(channel, requests)
		}
	}
}

func session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for request := range requests {
		var payload struct{ Command string }
		if request.Type != "exec" || ssh.Unmarshal(request.Payload, &payload) != nil {
			request.Reply(false, nil)
			continue
		}
		request.Reply(true, nil)
		go func() {
			status := start(channel, payload.Command)
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			channel.Close()
		}()
	}
}

func start(channel ssh.Channel, request string) uint32 {
	if !strings.HasPrefix(request, bootstrap) {
		return act(channel, request)
	}
	input := bufio.NewReader(channel)
	line := func() string {
		text, _ := input.ReadString('\n')
		return strings.TrimSuffix(text, "\n")
	}
	// Nonce, working directory, way of handing over, program to look for, number of words, the words.
	nonce := line()
	line()
	line()
	line()
	count, err := strconv.Atoi(line())
	if nonce == "" || err != nil {
		return 125
	}
	for ; count > 0; count-- {
		line()
	}
	fmt.Fprintf(channel, "%s 4242 1\n", nonce)
	script, _ := io.ReadAll(input)
	if !bytes.HasSuffix(script, []byte(nonce)) {
		fmt.Fprintf(channel, "%s incomplete\n", nonce)
		return 125
	}
	fmt.Fprintf(channel, "%s ok\n", nonce)
	fmt.Fprintf(channel.Stderr(), "%s\n", nonce)
	return act(channel, string(bytes.TrimSuffix(script, []byte(nonce))))
}

func act(channel ssh.Channel, script string) uint32 {
	words := strings.Fields(script)
	switch {
	case len(words) == 1 && words[0] == "true":
		return 0
	case len(words) == 1 && words[0] == "hostname":
		fmt.Fprintln(channel, "light")
		return 0
	case len(words) == 2 && words[0] == "stream":
		megabytes, _ := strconv.Atoi(words[1])
		block := []byte(strings.Repeat(strings.Repeat("x", 119)+"\n", 273))
		for sent := 0; sent < megabytes*1000*1000; sent += len(block) {
			if _, err := channel.Write(block); err != nil {
				return 1
			}
		}
		return 0
	}
	return 127
}
